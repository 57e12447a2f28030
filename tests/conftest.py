"""Options and skips that hold for the whole suite."""

import gc
import json
import shutil
import signal
import subprocess
from collections import Counter
from pathlib import Path

import hypothesis
import pytest

DURATIONS = Path(__file__).parent.parent / ".test_durations"   # by ``make durations``

# How long an example takes depends on the machine; a slow one is not a wrong one.
hypothesis.settings.register_profile("trilobite", deadline=None)
hypothesis.settings.load_profile("trilobite")

# What a shell starts in the background ignores Ctrl-C, and so does all that it starts itself.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Half the time would go into looking for garbage, of which there is hardly any."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()   # modules and tests stay; nobody looks through them again and again
        gc.enable()


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow")


def pytest_collection_modifyitems(config, items):
    items.sort(key=longest_module_first())
    missing_icarus = shutil.which("iverilog") is None
    missing_lz4 = not compiles("#include <lz4.h>\n#include <zlib.h>\n")
    for item in items:
        if "slow" in item.keywords and not config.getoption("--slow"):
            item.add_marker(pytest.mark.skip(reason="slow: run with --slow"))
        if "icarus" in item.keywords and missing_icarus:
            item.add_marker(pytest.mark.skip(reason="iverilog is not on PATH"))
        if "lz4" in item.keywords and missing_lz4:
            item.add_marker(pytest.mark.skip(reason="the headers of lz4 and zlib are missing"))


def longest_module_first():
    """A key to sort tests by, so that no worker is left alone with a long module at the end."""
    seconds = Counter()
    recorded = json.loads(DURATIONS.read_text()) if DURATIONS.exists() else {}
    for name, duration in recorded.items():
        seconds[name.partition("::")[0]] += duration
    return lambda item: -seconds[item.nodeid.partition("::")[0]]


def compiles(source):
    compiler = shutil.which("c++")
    command = [compiler, "-x", "c++", "-fsyntax-only", "-"]
    return bool(compiler) and not subprocess.run(
        command, input=source, text=True, capture_output=True, check=False
    ).returncode


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """``library(name)``: a tiny checkpoint out of ``support.checkpoints``; not to be changed."""
    from support.checkpoints import write_checkpoint  # imports torch

    root = tmp_path_factory.mktemp("checkpoints")

    def get(name):
        folder = root / name
        return folder if folder.exists() else write_checkpoint(folder, name)

    return get


@pytest.fixture(scope="session")
def ternary(tmp_path_factory):
    """The folder of demo-bitnet, quantized; not to be changed."""
    import trilobite

    folder = tmp_path_factory.mktemp("ternary") / "bitnet"
    trilobite.quantize("demo-bitnet", folder)
    return folder
