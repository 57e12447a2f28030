"""A quantization that was killed: the same call goes on, to the same bytes; another starts over."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from support.llama_folder import contents, write_llama
from trilobite.quant.pipeline import quantize
from trilobite.quant.pipeline.journal import JOURNAL
from trilobite.quant.rounding.weight_blocks import WeightBlocks
from trilobite.runtime.calibration_text import CalibrationText
from trilobite.tools.progress import Silent

KILLED = """
import os, signal, sys
import numpy as np
from trilobite.tools.progress import Silent
from trilobite.quant.pipeline import quantize
from trilobite.runtime.calibration_text import CalibrationText
class Kill(Silent):
    left = int(sys.argv[3])
    def finished(self, record):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
options = eval(sys.argv[4])
if "method" in options:
    tokens = np.random.default_rng(0).integers(0, 48, (2, 32))
    options["calibration"] = CalibrationText(tokens, "random", 0)
quantize(sys.argv[1], sys.argv[2], progress=Kill(), **options)
"""
UP = "model.layers.1.mlp.up_proj.weight"


class Notes(Silent):
    def __init__(self):
        self.sentences, self.total, self.done, self.names = [], 0, 0, []

    def start(self, total_bytes, what=""):
        self.total = total_bytes

    def advance(self, nbytes):
        self.done += nbytes

    def finished(self, record):
        self.names.append(record.name)

    def note(self, sentence):
        self.sentences.append(sentence)


@pytest.fixture
def llama(tmp_path):
    write_llama(tmp_path / "llama")
    return tmp_path / "llama"


@pytest.fixture
def read(monkeypatch):
    """The names of the matrices whose weights are read."""
    names = []
    make = WeightBlocks.__init__

    def remember(self, checkpoint, name, *scales):
        names.append(name)
        make(self, checkpoint, name, *scales)

    monkeypatch.setattr(WeightBlocks, "__init__", remember)
    return names


def killed(source, out, tensors, options):
    command = [sys.executable, "-c", KILLED, str(source), str(out), str(tensors), repr(options)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    return out.with_name(f".{out.name}.trilobite-partial")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_same_call_goes_on_to_the_same_bytes(tmp_path, llama, read):
    partial = killed(llama, tmp_path / "out", 15, {"format": "int8"})
    assert names(partial) == [JOURNAL, "model.safetensors"]
    notes = Notes()
    manifest = quantize(llama, tmp_path / "out", "int8", progress=notes)
    resumed = set(read)
    assert notes.sentences == ["Going on after a killed run: 14 of 29 tensors are finished"]
    assert notes.done == notes.total and notes.names == [r.name for r in manifest.tensors]
    assert not resumed & {record.name for record in manifest.tensors[:14]}
    assert UP in resumed
    quantize(llama, tmp_path / "fresh", "int8")
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")
    assert names(tmp_path) == ["fresh", "llama", "out"]


@pytest.mark.parametrize(("options", "finished"), [
    ({"format": "int4,group_size=32", "method": "gptq",
      "tensor_formats": [r"layers\.0\.mlp\.gate=keep"]}, 9),
    ({"format": "int4-fp8,group_size=32", "method": "cas"}, 7),   # norms are written again
], ids=["gptq", "cas"])
def test_methods_go_on_too(tmp_path, llama, options, finished):
    killed(llama, tmp_path / "out", 10, options)
    text = CalibrationText(np.random.default_rng(0).integers(0, 48, (2, 32)), "random", 0)
    notes = Notes()
    quantize(llama, tmp_path / "out", calibration=text, progress=notes, **options)
    assert f"{finished} of " in notes.sentences[0]
    quantize(llama, tmp_path / "fresh", calibration=text, **options)
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


@pytest.mark.parametrize("change", ["options", "input", "journal", "no journal"])
def test_anything_else_starts_over_and_says_so(tmp_path, llama, change):
    partial = killed(llama, tmp_path / "out", 15, {"format": "int8"})
    options = {"format": "fp8" if change == "options" else "int8"}
    if change == "input":
        os.utime(llama / "model.safetensors", ns=(1, 1))
    if change == "journal":
        (partial / JOURNAL).write_text("not JSON\n")
    if change == "no journal":
        (partial / JOURNAL).unlink()
    notes = Notes()
    quantize(llama, tmp_path / "out", progress=notes, **options)
    assert "starting over" in notes.sentences[0]
    quantize(llama, tmp_path / "fresh", **options)
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


def test_bytes_that_were_lost_are_written_again(tmp_path, llama, read):
    partial = killed(llama, tmp_path / "out", 15, {"format": "int8"})
    lines = (partial / JOURNAL).read_text().splitlines()
    (partial / JOURNAL).write_text("\n".join(lines) + '\n{"record": {"na')   # cut off in a line
    with (partial / "model.safetensors").open("r+b") as file:
        data = file.read()
        header = 8 + int.from_bytes(data[:8], "little")
        entry = json.loads(data[8:header])["model.layers.0.mlp.up_proj.weight_packed"]
        file.seek(header + entry["data_offsets"][0] + 5)
        file.write(b"\x55\x55")
    notes = Notes()
    quantize(llama, tmp_path / "out", "int8", progress=notes)
    assert "13 of 29" in notes.sentences[0]
    assert "model.layers.0.mlp.up_proj.weight" in read
    assert "model.layers.0.mlp.gate_proj.weight" not in read
    quantize(llama, tmp_path / "fresh", "int8")
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


def test_a_run_that_is_killed_twice(tmp_path, llama):
    killed(llama, tmp_path / "out", 5, {"format": "fp8"})
    killed(llama, tmp_path / "out", 20, {"format": "fp8"})
    notes = Notes()
    quantize(llama, tmp_path / "out", "fp8", progress=notes)
    assert "19 of 29" in notes.sentences[0]
    quantize(llama, tmp_path / "fresh", "fp8")
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")
