"""Whether an accelerator has what a model needs."""

from __future__ import annotations

from ..errors import TrilobiteError
from ..model import LINEAR_NAMES, ModelConfig
from .accelerator_parameters import AcceleratorParameters

__all__ = ["check_model"]

# What lies in the rotary tables of the image and asks nothing of the hardware.
_TABLES = ("rope_linear", "rope_llama3", "rope_yarn")


def check_model(config: ModelConfig, p: AcceleratorParameters, capacity: int) -> None:
    """Raise ``TrilobiteError`` for what the hardware does not have or is too small for."""
    problems = []
    has_biases = any(map(config.has_bias, LINEAR_NAMES))
    if has_biases and not p.biases:
        problems.append("it has biases")
    known = (*_TABLES, "qk_norm") if p.head_norms else _TABLES
    problems += [f"it has {words}" for name, words in config.peculiarities().items()
                 if name not in known]
    if config.qk_norm and config.qkv_bias:
        problems.append("it norms queries and keys that have biases")
    sizes = {
        "hidden_size": (config.hidden_size, p.max_width),
        "intermediate_size": (config.intermediate_size, p.max_width),
        "num_heads * head_dim": (config.num_heads * config.head_dim, p.max_width),
        "head_dim": (config.head_dim, p.max_head_dim),
        "num_heads": (config.num_heads, p.max_heads),
        "vocab_size": (config.vocab_size, p.max_vocabulary),
        "the context": (capacity, p.max_context),
    }
    problems += [f"{name} is {value}, and at most {most} fit"
                 for name, (value, most) in sizes.items() if value > most]
    chunk = p.attention.chunk
    if config.head_dim % chunk:
        problems.append(f"head_dim is {config.head_dim}, which is no multiple of {chunk}")
    if config.activation not in p.activations:
        problems.append(f"its activation function is {config.activation}, and the gate computes "
                        f"{' and '.join(p.activations)}")
    columns = p.tlmm.columns
    rows = {
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_heads * head_dim": config.num_heads * config.head_dim,
        "num_kv_heads * head_dim": config.num_kv_heads * config.head_dim,
    }
    problems += [f"{name} is {value}, which is no multiple of the engine's {columns} columns"
                 for name, value in rows.items() if value % columns]
    if problems:
        raise TrilobiteError("The accelerator cannot run this model: " + "; ".join(problems))
