"""A loaded checkpoint takes the memory of its packed weights, its cache, and of Python itself."""

import subprocess
import sys

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
import trilobite
from trilobite.runtime.timing import memory

model = trilobite.load(sys.argv[1])
generation = model.generate([1, 2, 3], 3)
list(generation)
print(model.decoder.nbytes, generation.cache_nbytes, *memory(), len(generation.tokens))
"""


def test_a_checkpoint_takes_its_packed_size(tmp_path):
    folder = write_random_checkpoint(tmp_path / "model", CONFIG, Ternary())
    printed = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)], capture_output=True, text=True, check=True
    ).stdout
    weights, cache, resident, most, tokens = map(int, printed.split())
    assert tokens == 3
    assert 70_000_000 < weights < 75_000_000
    assert resident <= most <= weights + cache + ALLOWED


def test_the_weights_are_counted_once():
    decoder = Decoder(CONFIG, random_weights(CONFIG, Ternary()))
    linears = 2 * (4 * 1024**2 + 3 * 1024 * 3072) / 5
    assert 0.98 < decoder.nbytes / (64_000 * 1024 + linears) < 1.08
