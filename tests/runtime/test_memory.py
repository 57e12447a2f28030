"""A loaded checkpoint takes the memory of its packed weights, its cache, and of Python itself."""

import functools
import re
import subprocess
import sys

import pytest

from support.random_checkpoint import write_random_checkpoint
from trilobite.model import ModelConfig
from trilobite.quant.formats import Ternary
from trilobite.runtime.decoder import Decoder
from trilobite.runtime.random_weights import random_weights

# In float32 the embedding would take 262 MB, the linears 126 MB.
CONFIG = ModelConfig(
    family="bitnet", hidden_size=1024, intermediate_size=3072, num_layers=2, num_heads=8,
    num_kv_heads=8, head_dim=128, vocab_size=64_000, max_position_embeddings=512,
    rms_norm_eps=1e-5, rope_theta=1e4, activation="relu2", tie_word_embeddings=True, sub_norm=True,
    bitlinear=True,
)
ALLOWED = 250_000_000

PROGRAM = """
import sys
from pathlib import Path

import trilobite
from trilobite.runtime.timing import memory

model = trilobite.load(sys.argv[1], mmap=sys.argv[2] == "mmap")
generation = model.generate([1, 2, 3], 3)
list(generation)
print(model.decoder.nbytes, generation.cache_nbytes, *memory(), len(generation.tokens))
print(Path("/proc/self/status").read_text())
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_random_checkpoint(tmp_path_factory.mktemp("memory") / "model", CONFIG, Ternary())


@functools.cache
def numbers_of(folder, way):
    """Weights, KV cache, memory now and at most, tokens, and memory that is no file's."""
    printed = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), way], capture_output=True, text=True,
        check=True,
    ).stdout
    numbers, status = printed.split("\n", 1)
    anonymous = 1024 * int(re.search(r"RssAnon:\s+(\d+)", status)[1])
    return *map(int, numbers.split()), anonymous


@pytest.mark.parametrize("way", ["mmap", "read"])
def test_a_checkpoint_takes_its_packed_size(folder, way):
    weights, cache, resident, most, tokens, _ = numbers_of(folder, way)
    assert tokens == 3
    assert 70_000_000 < weights < 75_000_000
    assert resident <= most <= weights + cache + ALLOWED


def test_a_mapped_embedding_is_the_files_memory(folder):
    mapped, read = numbers_of(folder, "mmap"), numbers_of(folder, "read")
    assert read[-1] - mapped[-1] > 0.9 * 64_000 * 1024
    assert mapped[3] - read[3] < 5_000_000   # of their peaks: what was reordered is let go of


def test_the_weights_are_counted_once():
    decoder = Decoder(CONFIG, random_weights(CONFIG, Ternary()))
    linears = 2 * (4 * 1024**2 + 3 * 1024 * 3072) / 5
    assert 0.98 < decoder.nbytes / (64_000 * 1024 + linears) < 1.08
