"""llama.cpp's graphs of the dense families beyond Llama: what each has, and what it must be told.

The keys and the rules are those of llama.cpp's own conversion (``convert_hf_to_gguf.py``).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...model import Activation, ModelConfig
from .gguf_writer import Unsigned

__all__ = ["GRAPHS", "Graph", "usual_yarn", "yarn_settings"]


@dataclass(frozen=True)
class Graph:
    """One architecture of llama.cpp: which of ``ModelConfig.peculiarities`` its graph has.

    ``settings`` gives metadata by key, after the architecture's prefix. ``full_every``: all but
    every so manieth layer has the window. ``tied``: it has no head of its own.
    """

    known: tuple[str, ...]
    activation: Activation = "silu"
    settings: Callable[[ModelConfig], dict[str, Any]] | None = None
    full_every: int | None = None
    unturned_every: int | None = None
    window_theta: float | None = None
    tied: bool = False

    def refusal(self, config: ModelConfig) -> str | None:
        """What ``config`` has that the graph has not, in words after "has"; None: nothing."""
        layers = range(config.num_layers)
        windows = {window for window in config.sliding_windows if window is not None}
        usual = len(windows) <= 1 and all(
            (config.window(layer) is None) == ((layer + 1) % (self.full_every or 1) == 0)
            for layer in layers)
        unturned = tuple(layer for layer in layers if (layer + 1) % (self.unturned_every or 1) == 0)
        rope = config.window_rope
        other = rope is not None and (rope.theta != self.window_theta or rope.scaling is not None)
        wrong = {
            "biases": config.qkv_bias or config.o_bias or config.mlp_bias,
            f"the activation {config.activation}": config.activation != self.activation,
            "windows in other layers": bool(windows) and not usual,
            "no rotary embedding in other layers":
                bool(config.unturned_layers) and config.unturned_layers != unturned,
            "another rotary base in layers with a window": other,
            "a head of its own": self.tied and not config.tie_word_embeddings,
            "a scaling of YaRN of its own": not usual_yarn(config),
        }
        found = [words for words, there in wrong.items() if there]
        found += [words] if (words := config.refusal(self.known)) else []
        return " and ".join(found) or None


def usual_yarn(config: ModelConfig) -> bool:
    """Whether YaRN, if it is there, has the constants that llama.cpp fixes."""
    scaling = config.rope_scaling
    if scaling is None or scaling.kind != "yarn":
        return True
    usual = 0.1 * math.log(scaling.factor) + 1 if scaling.factor > 1 else 1.0
    constants = (scaling.beta_fast, scaling.beta_slow, scaling.whole)
    return constants == (32.0, 1.0, True) and math.isclose(scaling.magnitude, usual)


def yarn_settings(config: ModelConfig) -> dict[str, Any]:
    """How YaRN is told; nothing for a model without."""
    scaling = config.rope_scaling
    if scaling is None or scaling.kind != "yarn":
        return {}
    return {
        "rope.scaling.type": "yarn", "rope.scaling.factor": float(scaling.factor),
        "rope.scaling.original_context_length":
            Unsigned(scaling.original_max_position_embeddings),
    }


def _window(config: ModelConfig) -> dict[str, Any]:
    windows = [window for window in config.sliding_windows if window is not None]
    return {"attention.sliding_window": Unsigned(windows[0])} if windows else {}


def _gemma2(config: ModelConfig) -> dict[str, Any]:
    caps = {"attn_logit_softcapping": config.score_cap, "final_logit_softcapping": config.logit_cap}
    return _window(config) | {key: float(cap) for key, cap in caps.items() if cap is not None}


def _granite(config: ModelConfig) -> dict[str, Any]:
    scale = config.head_dim**-0.5 if config.score_scale is None else config.score_scale
    return {
        "embedding_scale": config.embedding_scale, "residual_scale": config.residual_scale,
        "attention.scale": scale, "logit_scale": 1 / config.logit_scale,
    }


_GEMMA = ("windows", "norms", "gain_offset", "embedding_scale")
GRAPHS = {
    "gemma2": Graph((*_GEMMA, "score_cap", "logit_cap"), "gelu_tanh", _gemma2, full_every=2,
                    tied=True),
    "gemma3": Graph((*_GEMMA, "qk_norm", "window_rope", "rope_linear"), "gelu_tanh", _window,
                    full_every=6, window_theta=10_000.0),
    "granite": Graph(("embedding_scale", "residual_scale", "score_scale", "logit_scale"),
                     settings=_granite),
    "olmo2": Graph(("norms", "qk_norm", "qk_norm_whole", "rope_yarn")),
    "smollm3": Graph(("unturned_layers", "rope_yarn", "rope_linear"), unturned_every=4),
}
