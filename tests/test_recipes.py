"""CONTRIBUTING's recipes, followed to the letter in a copy of the package, do as they say."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import trilobite

ROOT = Path(trilobite.__file__).parent
LEFT_OUT = (".*", "build", "demo", "benchmarks", "checkpoints/demo-bitnet")
RECIPES = {
    "a number format", "a quantization method", "a kernel", "a hardware block", "a device",
    "an accelerator",
}


def recipes():
    """The commands of each section "Add ...", by what is added, in the order of the page."""
    page = (ROOT / "CONTRIBUTING.md").read_text()
    return {
        title: "\n".join(re.findall(r"^```sh\n(.*?)^```", section, re.S | re.M))
        for title, section in re.findall(r"^## Add (.*?)\n(.*?)(?=^## )", page, re.S | re.M)
    }


def test_the_recipes_have_commands():
    assert {title for title, commands in recipes().items() if commands} == RECIPES


class Copy:
    """A copy of the package in which every recipe was followed, and a folder to work in."""

    def __init__(self, place):
        self.root = place / "trilobite"
        self.work = place / "work"
        self.work.mkdir()
        shutil.copytree(ROOT, self.root, ignore=shutil.ignore_patterns(*LEFT_OUT))

    def run(self, *arguments, cwd=None):
        environment = {**os.environ, "PYTHONPATH": str(self.root.parent)}
        done = subprocess.run([sys.executable, *map(str, arguments)], cwd=cwd or self.work,
                              env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def trilobite(self, *arguments):
        return self.run("-m", "trilobite", *arguments)


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    made = Copy(tmp_path_factory.mktemp("copy"))
    for title, commands in recipes().items():
        done = subprocess.run(["bash", "-euc", commands], cwd=made.root, capture_output=True,
                              text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), f"Add {title}: {done.stderr}"
    assert made.run("-c", "import trilobite; print(trilobite.__file__)").strip() == str(
        made.root / "__init__.py")
    return made


def test_the_copied_format_and_kernel_make_a_token(copy):
    assert "int8-copy" in copy.trilobite("quantize", "--help")
    copy.trilobite("quantize", "demo-llama", "-o", "q", "--format", "int8-copy")
    program = (
        "import trilobite\n"
        "from trilobite.quant.formats import Int8\n"
        "model = trilobite.load('q')\n"
        "generation = model.generate('def f(', max_new_tokens=1)\n"
        "list(generation)\n"
        "kernel = type(model.decoder.layers[0].linears['self_attn.q_proj']).__name__\n"
        "print(len(generation.tokens), kernel)\n"
    )
    assert copy.run("-c", program).split() == ["1", "Int8CopyLinear"]


def test_the_row_of_the_table_tests_the_copied_format(copy):
    kept = "every_registered or (int8-copy and (stored_bits or spec_builds or signs))"
    said = copy.run("-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "-k", kept,
                    "tests/quant/formats/test_every_format.py", cwd=copy.root)
    assert "4 passed" in said


def test_the_copied_method_quantizes(copy):
    program = (
        "import trilobite\n"
        "text = trilobite.calibration('demo-llama', sequences=1)\n"
        "manifest = trilobite.quantize('demo-llama', 'itf', 'ternary-group', method='itf-copy',\n"
        "                              calibration=text, dry_run=True)\n"
        "from trilobite.quant.methods import METHODS\n"
        "import numpy as np\n"
        "from trilobite.quant.formats import GroupedTernary\n"
        "weight = np.random.default_rng(0).standard_normal((4, 64)).astype(np.float32)\n"
        "codes = METHODS['itf-copy'].quantize(weight, np.eye(64), GroupedTernary(32))\n"
        "print(manifest.method, codes.values.shape)\n"
    )
    assert copy.run("-c", program).strip() == "itf-copy (4, 64)"


def test_the_copied_block_elaborates_and_stands_in_the_plan(copy):
    program = (
        "from amaranth.back import verilog\n"
        "from trilobite.hw.streams.fork_copy import StreamForkCopy\n"
        "print(verilog.convert(StreamForkCopy(16, 3, 4), name='fork_copy'))\n"
    )
    assert "module fork_copy" in copy.run("-c", program)
    said = copy.run("-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "-k",
                    "Recipe", "tests/test_testplan.py", cwd=copy.root)
    assert "2 passed" in said


def test_the_copied_device_and_accelerator_are_estimated(copy):
    said = copy.trilobite("estimate", "bitnet-0.73b", "--device", "my-board", "-o", "page.html")
    assert "Report: page.html" in said
    program = ("from trilobite.sim.descriptions.accelerator import load_accelerator\n"
               "print(load_accelerator('my-accelerator').name)\n")
    assert copy.run("-c", program).strip()
    assert "my-accelerator" in copy.trilobite("estimate", "--help")
