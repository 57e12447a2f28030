"""Programs end with the process that started them, however that ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trilobite.errors import ToolError
from trilobite.tools.programs import ask_program, program, python, run_program, started

ROOT = Path("/")
# A program that starts another and says both numbers.
FAMILY = "sleep 1000 & echo $$ $!; wait"


def alive(number):
    """Whether a process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(numbers, seconds=20):
    """Whether all processes are gone, soon."""
    end = time.monotonic() + seconds
    while any(map(alive, numbers)) and time.monotonic() < end:
        time.sleep(0.02)
    return not any(map(alive, numbers))


def parent(code):
    """A Python process that runs ``code`` and prints the numbers of its descendants first."""
    begin = "from pathlib import Path\nfrom trilobite.tools.programs import *\n"
    process = subprocess.Popen(
        [sys.executable, "-c", f"{begin}ROOT = Path('/')\nFAMILY = {FAMILY!r}\n{code}"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True)
    return process, [int(number) for number in process.stdout.readline().split()]


RUN = ("with started([program('sh'), '-c', FAMILY], ROOT) as run:\n"
       "    print(run.stdout.readline().decode(), end='', flush=True)\n"
       "    run.wait()")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_program_and_what_it_started_end_with_us(number):
    process, family = parent(RUN)
    assert len(family) == 2 and all(map(alive, family))
    process.send_signal(number)
    process.wait(20)
    assert gone(family)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_workers_and_their_programs_end_with_us(number, tmp_path):
    script, numbers = tmp_path / "pool.py", tmp_path / "numbers"
    script.write_text(
        "import os, sys\nfrom pathlib import Path\n"
        "from trilobite.tools.programs import program, started, worker_pool\n"
        "def work(path):\n"
        f"    with started([program('sh'), '-c', {FAMILY!r}], Path('/')) as run:\n"
        "        Path(path + '-').write_text(f'{os.getpid()} {run.stdout.readline().decode()}')\n"
        "        Path(path + '-').rename(path)\n"
        "        run.wait()\n"
        "if __name__ == '__main__':\n"
        "    with worker_pool(1) as pool:\n"
        "        pool.submit(work, sys.argv[1]).result()\n")
    process = subprocess.Popen([sys.executable, script, numbers], stderr=subprocess.DEVNULL,
                               start_new_session=True)
    while not numbers.exists() and process.poll() is None:
        time.sleep(0.05)
    family = [int(number) for number in numbers.read_text().split()]
    assert len(family) == 3 and all(map(alive, family))
    process.send_signal(number)
    process.wait(20)
    assert gone(family)


def test_what_a_program_leaves_behind_ends_with_it():
    text = run_program([program("sh"), "-c", "sleep 1000 & echo $!"], ROOT, "Leaving")
    assert gone([int(text)])


def test_a_program_ends_when_its_block_does():
    with started([program("sh"), "-c", FAMILY], ROOT) as process:
        family = [int(number) for number in process.stdout.readline().split()]
        assert all(map(alive, family))
    assert gone(family)


def test_a_program_that_takes_too_long_is_ended():
    with pytest.raises(TimeoutError, match=r"sh took over 0.3 s"):
        ask_program([program("sh"), "-c", "sleep 1000"], ROOT, b"", 0.3)


def test_a_program_reads_and_answers():
    answer = ask_program([program("sh"), "-c", "cat; echo no >&2; exit 3"], ROOT, b"yes")
    assert (answer.code, answer.output, answer.errors) == (3, b"yes", b"no\n")


@pytest.mark.parametrize(("script", "code"), [
    ("exit 7", 7), ("kill -SEGV $$", -11), ("kill -KILL $$", -9)])
def test_a_failure_says_its_code_and_its_last_lines(script, code):
    with pytest.raises(ToolError, match=f"Trying failed .sh exited with {code}.:\nlast words"):
        run_program([program("sh"), "-c", f"echo last words; {script}"], ROOT, "Trying")


def test_a_program_gets_the_variables_and_the_folder(tmp_path):
    text = run_program([program("sh"), "-c", "echo $WORD; pwd"], tmp_path, "Asking",
                       {"WORD": "shells"})
    assert text.split() == ["shells", str(tmp_path.resolve())]


def test_broken_pipes_end_a_program_as_they_do_everywhere():
    """Python ignores SIGPIPE; what it starts must not."""
    text = run_program([program("sh"), "-c", "yes | head -n 1"], ROOT, "Piping")
    assert text == "y\n"


def test_python_finds_this_package_from_anywhere(tmp_path):
    code = "import sys, trilobite; print(trilobite.__file__, sys.flags.safe_path)"
    import trilobite

    assert run_program(python("-c", code), tmp_path, "Importing").split() == [
        trilobite.__file__, "True"]


def test_nothing_passes_from_this_environment_that_is_not_listed(monkeypatch):
    monkeypatch.setenv("MAKEFLAGS", "--eval=$(shell echo)")
    monkeypatch.setenv("LC_NUMERIC", "C")
    names = run_program([program("env")], ROOT, "Asking").splitlines()
    assert "LC_NUMERIC=C" in names and not any(line.startswith("MAKEFLAGS") for line in names)
    assert os.environ["MAKEFLAGS"]
