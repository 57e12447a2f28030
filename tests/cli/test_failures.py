"""No command ends in a traceback: what each kind of failure says, and its exit code."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from trilobite.cli import app
from trilobite.cli.failures import report
from trilobite.errors import CheckpointError


def fail(monkeypatch, error, *options):
    def command(*arguments, **keywords):
        raise error

    monkeypatch.setattr("trilobite.api.models.open_checkpoint", command)
    return CliRunner().invoke(app, [*options, "generate", "demo-llama", "-p", "x"])


def a_bug():
    try:
        [].pop()
    except IndexError as error:
        return error


@pytest.mark.parametrize(("error", "code", "said"), [
    (CheckpointError("x holds [b]NaN[/] \x1b"), 2, "Error: x holds [b]NaN[/] \\x1b\n"),
    (KeyboardInterrupt(), 130, "Interrupted. Nothing half-written was left behind.\n"),
    (MemoryError(), 2, "Error: There is not enough memory\n"),
    (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a/[b]"), 2,
     "Error: a/[b]: No space left on device\n"),
    (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), 2,
     "Error: The system refused: Too many open files\n"),
    (BrokenPipeError(errno.EPIPE, "Broken pipe"), 141, ""),
    (ModuleNotFoundError("no", name="cocotb.handle"), 2,
     "Error: simulating hardware needs the package cocotb.handle; install it with: "
     "pip install 'trilobite[rtl]'\n"),
])
def test_an_error_is_a_sentence_and_an_exit_code(monkeypatch, error, code, said):
    monkeypatch.setattr("trilobite.cli.failures._forget_output", lambda: None)   # pytest's own
    result = fail(monkeypatch, error)
    assert (result.exit_code, result.stderr) == (code, said)


@pytest.mark.parametrize("arguments", [
    ["inspect", "%"], ["estimate", "%"], ["estimate", "bitnet-0.73b", "--device", "%"],
    ["estimate", "bitnet-0.73b", "--%"], ["serve-sim", "bitnet-0.73b", "--trace", "%.csv"],
    ["evaluate", "demo-llama", "--text", "%"], ["%"],
])
def test_an_argument_that_is_not_utf8_is_shown_in_a_sentence(arguments):
    bytes_alone = [one.replace("%", "a\udcffb") for one in arguments]
    result = CliRunner().invoke(app, bytes_alone)
    assert result.exit_code == 2
    assert "a\\udcffb" in result.stderr.replace("\udcff", "\\udcff")


def test_numpy_says_how_much_memory_was_asked_for(capsys):
    with pytest.raises(MemoryError) as caught:
        np.empty(1 << 60, np.uint8)
    assert report(caught.value) == 2
    assert "EiB" in capsys.readouterr().err


@pytest.mark.parametrize("error", [a_bug(), KeyError("x"), RecursionError("deep"),
                                   AssertionError(), UnicodeDecodeError("utf-8", b"", 0, 1, "bad")])
def test_a_bug_of_ours_says_so_and_how_to_report_it(monkeypatch, error):
    result = fail(monkeypatch, error)
    assert result.exit_code == 70
    assert result.stderr.startswith("Error: This is a bug of Trilobite's, not of yours: ")
    assert type(error).__name__ in result.stderr and "Traceback" not in result.output
    assert "trilobite --version" in result.stderr and "--debug" in result.stderr


@pytest.mark.parametrize("how", ["option", "variable"])
def test_debug_shows_the_traceback(monkeypatch, how):
    if how == "variable":
        monkeypatch.setenv("TRILOBITE_DEBUG", "1")
    result = fail(monkeypatch, a_bug(), *(["--debug"] if how == "option" else []))
    assert result.exit_code == 70
    assert "Traceback (most recent call last)" in result.stderr and "[].pop()" in result.stderr


def run(program, *arguments, **options):
    return subprocess.Popen([sys.executable, "-c", program, *arguments], text=True,
                            stderr=subprocess.PIPE, **options)


MAIN = "from trilobite.cli import main; main()"


def test_a_reader_that_is_gone_ends_it_quietly():
    reads, writes = os.pipe()
    os.close(reads)
    process = run(MAIN, "devices", stdout=writes)
    os.close(writes)
    assert process.communicate()[1] == "" and process.returncode == 141


def test_a_full_disk_behind_standard_output_is_an_error():
    with Path("/dev/full").open("w") as full:
        process = run(MAIN, "devices", stdout=full)
    assert "No space left on device" in process.communicate()[1]
    assert process.returncode == 2


WAITS = """
import sys, time
import trilobite.api.models
def wait(*arguments, **options):
    print("waiting", flush=True)
    {}
trilobite.api.models.open_checkpoint = wait
from trilobite.cli import main
main()
"""


@pytest.mark.parametrize(("waiting", "said"), [
    ("time.sleep(30)", "Interrupted. Nothing half-written was left behind.\n"),
    # A thread that Python would wait for at its end.
    ("import threading; threading.Thread(target=time.sleep, args=[900]).start(); time.sleep(30)",
     "Interrupted. Nothing half-written was left behind.\n"),
    # A function that machine code calls: Python prints what is raised there, and goes on.
    ("import ctypes; ctypes.CFUNCTYPE(None)(lambda: time.sleep(30))(); time.sleep(900)",
     "Interrupted. Nothing half-written was left behind.\n"),
    # Machine code that does not come back to Python, as a compiler's.
    ("import ctypes; ctypes.CDLL(None, use_errno=True).usleep; "
     "[ctypes.CDLL(None).pause() for _ in range(9)]", "Interrupted"),
])
def test_ctrl_c_ends_a_command_with_one_line(waiting, said):
    program = WAITS.format(waiting)
    process = run(program, "generate", "demo-llama", "-p", "x", stdout=subprocess.PIPE,
                  preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    assert process.stdout.readline() == "waiting\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert said in errors and "Traceback" not in errors


@pytest.mark.parametrize("moment", ["sys.stdout.reconfigure", "threading.Thread.start",
                                    "threading.Thread.join"])
def test_ctrl_c_just_before_a_command_and_just_after_it_is_one_line(moment):
    program = ("import sys, threading\nfrom unittest import mock\n"
               "from trilobite.cli import main\n"
               f"with mock.patch({moment!r}, side_effect=KeyboardInterrupt):\n    main()\n")
    process = run(program, "--version", stdout=subprocess.PIPE)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "Interrupted." in errors and "Traceback" not in errors
