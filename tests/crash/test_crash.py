"""Commands that are killed, interrupted, or find the disk full: a few; ``run.py`` does hundreds."""

import subprocess
import sys
from pathlib import Path

import pytest

from crash.jobs import JOBS
from crash.strike import STRIKES

RUN = Path(__file__).with_name("run.py")
QUICK = ["quantize-rtn", "quantize-overwrite", "quantize-onnx", "export-gguf"]
# Leaving an output does not clean up any more.
BROKEN = """
import sys
sys.path.insert(0, {tests!r})
from crash import jobs, run
from trilobite.quant.output import atomic
def forget(*_):
    return None
def broken():
    atomic.OutputFolder.__exit__ = forget
jobs.JOBS["quantize-rtn"] = jobs.Job(jobs.JOBS["quantize-rtn"].words, "out", shorten=broken)
sys.argv = ["run.py", "disk", "quantize-rtn", "--count", "20"]
run.main()
"""


def struck(*arguments):
    done = subprocess.run([sys.executable, RUN, *arguments], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("strike", STRIKES)
def test_a_few(strike):
    lines = struck(strike, *QUICK, "--count", "2")
    assert [line.partition(":")[0] for line in lines] == QUICK


@pytest.mark.slow
@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("strike", STRIKES)
def test_every_command(strike, job):
    line, = struck(strike, job, "--count", "5")
    assert line.startswith(f"{job}: ")


def test_half_an_output_is_a_finding():
    """The suite can fail."""
    code = BROKEN.format(tests=str(RUN.parents[1]))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Finding: quantize-rtn, strike " in done.stderr and "half an output" in done.stderr
