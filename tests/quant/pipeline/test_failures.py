"""Bad input and interrupted writing: a clear error, and no half-written output."""

import errno
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from support.llama_folder import contents, write_llama
from trilobite.errors import CheckpointError, FormatError, OutputError
from trilobite.quant.output.safetensors_writer import SafetensorsWriter
from trilobite.quant.pipeline import quantize
from trilobite.tools.progress import Silent

DOWN = "model.layers.1.mlp.down_proj.weight"


@pytest.fixture
def llama(tmp_path):
    write_llama(tmp_path / "llama")
    return tmp_path / "llama"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class Interrupt(Silent):
    """Presses Ctrl-C after some tensors."""

    def __init__(self, tensors=5):
        self.left = tensors

    def finished(self, record):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def ctrl_c():
    """Python raises KeyboardInterrupt, also where a shell has started the tests in the background,
    with the signal ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_leaves_nothing(tmp_path, llama):
    with pytest.raises(KeyboardInterrupt):
        quantize(llama, tmp_path / "out", "int8", progress=Interrupt())
    assert names(tmp_path) == ["llama"]


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_keeps_what_would_be_overwritten(tmp_path, llama):
    quantize(llama, tmp_path / "out", "int8")
    before = contents(tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        quantize(llama, tmp_path / "out", "fp8", overwrite=True, progress=Interrupt())
    assert contents(tmp_path / "out") == before
    assert names(tmp_path) == ["llama", "out"]


def test_a_disk_that_becomes_full(tmp_path, llama, monkeypatch):
    append = SafetensorsWriter.append

    def full(writer, name, block):
        if name.startswith(DOWN):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        append(writer, name, block)

    monkeypatch.setattr(SafetensorsWriter, "append", full)
    with pytest.raises(OutputError, match="disk is full"):
        quantize(llama, tmp_path / "out", "int8")
    assert names(tmp_path) == ["llama"]


def test_a_real_write_that_fails(tmp_path, llama):
    """A limit on the size of a file fails the write of the operating system itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, hard))
    try:
        with pytest.raises(OutputError, match="disk is full"):
            quantize(llama, tmp_path / "out", "int8")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == ["llama"]


KILLED = """
import os, signal, sys
from trilobite.tools.progress import Silent
from trilobite.quant.pipeline import quantize
class Kill(Silent):
    def finished(self, record):
        if "layers.1" in record.name:
            os.kill(os.getpid(), signal.SIGKILL)
quantize(sys.argv[1], sys.argv[2], "int8", progress=Kill())
"""


def killed(source, out):
    command = [sys.executable, "-c", KILLED, str(source), str(out)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL


def test_a_killed_run_leaves_no_output_and_the_next_one_cleans_up(tmp_path, llama):
    out = tmp_path / "out"
    killed(llama, out)
    assert names(tmp_path) == [".out.trilobite-partial", "llama"]
    quantize(llama, out, "int8")
    assert names(tmp_path) == ["llama", "out"]


def test_an_existing_output_is_refused_before_work_starts(tmp_path, llama):
    quantize(llama, tmp_path / "out", "int8")
    interrupt = Interrupt(tensors=1)   # would interrupt if a tensor were read
    with pytest.raises(OutputError, match="exists"):
        quantize(llama, tmp_path / "out", "fp8", progress=interrupt)
    assert interrupt.left == 1


def test_overwriting_gives_what_a_fresh_run_gives(tmp_path, llama):
    quantize(llama, tmp_path / "out", "int8")
    quantize(llama, tmp_path / "out", "fp8", overwrite=True)
    quantize(llama, tmp_path / "fresh", "fp8")
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


@pytest.mark.parametrize("out", ["llama", "llama/out", "."])
def test_output_and_source_must_not_overlap(tmp_path, llama, out):
    before = contents(llama)
    with pytest.raises(OutputError, match="overlap"):
        quantize(llama, tmp_path / out, "int8", overwrite=True)
    assert contents(llama) == before


@pytest.mark.parametrize("format", ["int8", "fp8"])
def test_a_quantized_folder_is_not_quantized_again(tmp_path, llama, format):
    quantize(llama, tmp_path / "out", "int8")
    with pytest.raises(CheckpointError, match="out has been quantized by Trilobite already"):
        quantize(tmp_path / "out", tmp_path / "again", format)
    assert names(tmp_path) == ["llama", "out"]


def test_every_tensor_that_does_not_fit_is_named_at_once(tmp_path, llama):
    with pytest.raises(FormatError) as caught:
        quantize(llama, tmp_path / "out", "int4,group_size=128")   # K is 64, and 96 of down_proj
    lines = str(caught.value).splitlines()
    assert len(lines) == 14
    assert lines[0] == (
        "model.layers.0.self_attn.q_proj.weight: K = 64 is not a multiple of the group size 128; "
        "what fits: 32, 64, one group per row"
    )
    assert lines[-1].startswith(f"{DOWN}: K = 96 is not a multiple")
    assert names(tmp_path) == ["llama"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_no_number_is_named(tmp_path, llama, value):
    tensors = load_file(llama / "model.safetensors")
    tensors[DOWN][3, 5] = value
    save_file(tensors, llama / "model.safetensors")
    with pytest.raises(CheckpointError, match=rf"{DOWN} holds {value} at \[3, 5\]"):
        quantize(llama, tmp_path / "out", "int8")
    assert names(tmp_path) == ["llama"]


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16, np.float32])
@pytest.mark.parametrize("name", [DOWN, "model.norm.weight", "lm_head.weight"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_no_tensor_is_written_where_one_is_not_finite(tmp_path, monkeypatch, dtype, name, value):
    """However far behind it comes, and whatever becomes of it: here tensors are kept as well."""
    tensors = write_llama(tmp_path / "llama", dtype)
    tensors[name].flat[-1] = value
    save_file(tensors, tmp_path / "llama" / "model.safetensors")
    monkeypatch.setattr("trilobite.quant.pipeline.pipeline.ResumableWriter", None)
    monkeypatch.setattr("trilobite.quant.rounding.weight_blocks.BLOCK_VALUES", 100)
    last = [size - 1 for size in tensors[name].shape]
    with pytest.raises(CheckpointError, match=re.escape(f"{name} holds {value} at {last}")):
        quantize(tmp_path / "llama", tmp_path / "out", "int8", embedding="keep")
    assert names(tmp_path) == ["llama"]


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16, np.float32])
def test_the_largest_and_smallest_numbers_pass(tmp_path, dtype):
    tensors = write_llama(tmp_path / "llama", dtype)
    limits = ml_dtypes.finfo(dtype)
    tensors["lm_head.weight"].flat[:4] = [limits.max, limits.min, limits.smallest_subnormal, -0.0]
    save_file(tensors, tmp_path / "llama" / "model.safetensors")
    quantize(tmp_path / "llama", tmp_path / "out", "int8", embedding="keep")


def test_a_resumed_run_does_not_look_again(tmp_path, llama, monkeypatch):
    looked = []
    monkeypatch.setattr("trilobite.quant.pipeline.pipeline.check_numbers",
                        lambda checkpoint, inputs, progress: looked.append(1))
    killed(llama, tmp_path / "out")
    quantize(llama, tmp_path / "out", "int8")
    assert looked == []
    quantize(llama, tmp_path / "again", "int8")
    assert looked == [1]


def test_a_scale_that_overflows_names_the_tensor(tmp_path):
    tensors = write_llama(tmp_path / "llama", np.float32)
    tensors[DOWN][0, 0] = 1e9
    save_file(tensors, tmp_path / "llama" / "model.safetensors")
    with pytest.raises(FormatError, match=f"{DOWN}: a group spans 1e\\+09"):
        quantize(tmp_path / "llama", tmp_path / "out", "int4,group_size=32")
    assert names(tmp_path) == ["llama"]


def test_a_truncated_source_is_refused(tmp_path, llama):
    path = llama / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        quantize(llama, tmp_path / "out", "int8")
    assert names(tmp_path) == ["llama"]
