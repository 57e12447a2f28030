"""Commands that are run inside of a folder which a stranger filled take nothing from there."""

import shutil
import subprocess
import sys

import onnx
import pytest

from support.hostile_folder import HostileFolder
from support.onnx_graphs import perceptron
from support.probes import Register
from trilobite.sim.verify.bench import build
from trilobite.tools.cache import cache_folder


@pytest.fixture
def hostile(tmp_path):
    folder = tmp_path / "downloads"
    folder.mkdir()
    return HostileFolder(folder, tmp_path / "marks")


def run(hostile, *command, **variables):
    return subprocess.run(command, cwd=hostile.path, env=hostile.environment(**variables),
                          capture_output=True, text=True, check=False)


def test_the_folder_works(hostile):
    """What the other tests find unmarked is marked where Python and the shell look there."""
    run(hostile, sys.executable, "-c", "import resource")
    subprocess.run("make", cwd=hostile.path, env=hostile.environment(), shell=True, check=False)
    assert {"resource", "make"} <= set(hostile.marks)


def test_quantize_raises_the_opset_of_a_model(hostile):
    onnx.save(perceptron(13, 7), hostile.path / "model.onnx")
    done = run(hostile, *hostile.command("quantize", "model.onnx", "-o", "out", "--format", "int8"))
    assert done.returncode == 0, done.stderr
    assert hostile.marks == []


def test_python_m_imports_nothing_from_there_once_the_command_runs(hostile):
    for name in ("pathlib", "json", "select", "signal", "tempfile"):   # of the interpreter's start
        (hostile.path / f"{name}.py").unlink()
    shutil.rmtree(hostile.path / "ctypes")
    done = run(hostile, sys.executable, "-m", "trilobite", "devices")
    assert done.returncode == 0, done.stderr
    assert hostile.marks == []


def test_verify_simulates_beside_the_runtime(hostile):
    done = run(hostile, *hostile.command("verify", "demo-bitnet", "--tokens", "1"))
    assert done.returncode == 0, done.stderr
    assert hostile.marks == []


def test_a_simulator_is_built(hostile, tmp_path):
    """Perl, Verilator, make and the compiler run; Verilator's own objects are made already."""
    build(Register(), "register")
    cache = tmp_path / "cache" / "sim"
    cache.mkdir(mode=0o700, parents=True)
    for made in cache_folder("sim").glob("verilator-*.sha256"):
        shutil.copy(made, cache)
        (cache / made.stem).symlink_to(made.with_suffix(""))
    code = ("from support.probes import Register\n"
            "from trilobite.sim.verify.bench import build, run_tests\n"
            "run_tests(build(Register(), 'register'), 'support.probes', ['passes'])")
    tests = str(tmp_path / "tests")
    shutil.copytree(__file__.rpartition("/")[0] + "/support", tests + "/support")
    done = run(hostile, sys.executable, "-P", "-c", code, PYTHONPATH=tests,
               TRILOBITE_CACHE=str(cache.parent))
    assert done.returncode == 0, done.stderr
    assert len(list(cache.glob("register-*/simulator"))) == 1
    assert hostile.marks == []


def test_synth_runs_its_tools(hostile, tmp_path):
    done = run(hostile, *hostile.command("synth", "--device", "kv260", "--block", "counters"),
               TRILOBITE_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 0, done.stderr
    assert hostile.marks == []
