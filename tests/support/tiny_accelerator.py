"""The smallest accelerator that runs a decoder, and a model for it."""

import json
from dataclasses import asdict, replace

from trilobite.fpga.accelerator_parameters import AcceleratorParameters
from trilobite.hw.matmul.engine_parameters import TlmmParameters
from trilobite.model import ModelConfig

TINY = AcceleratorParameters(
    TlmmParameters(group_size=3, tables=4, columns=4, max_k=64, max_m=128), word_bytes=16,
    lanes=2, queries=1, max_width=64, max_head_dim=16, max_heads=2, max_context=64,
    max_vocabulary=1024, max_tokens=8, activation_beats=128, weight_beats=256, address_width=20)
# With all that can be left out.
EVERYTHING = replace(TINY, biases=True, head_norms=True, scale_lanes=2, scale_beats=256)
MODEL = ModelConfig(
    family="bitnet", hidden_size=32, intermediate_size=48, num_layers=1, num_heads=2,
    num_kv_heads=1, head_dim=16, vocab_size=48, max_position_embeddings=64, rms_norm_eps=1e-5,
    rope_theta=10000.0, activation="silu", tie_word_embeddings=True, sub_norm=True,
    bitlinear=True)


def write_accelerator(path, parameters=TINY):
    """Write a description of an accelerator; its path."""
    values = asdict(parameters)
    tlmm = values.pop("tlmm")
    lines = ['name = "Tiny"', "[tlmm]", *_lines(tlmm), "[accelerator]", *_lines(values)]
    path.write_text("\n".join(lines) + "\n")
    return path


def _lines(values):
    return [f"{name} = {json.dumps(value)}" for name, value in values.items()]
