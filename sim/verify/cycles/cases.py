"""Accelerators, models and steps on which the cycle model is compared with RTL simulation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ....fpga.accelerator_parameters import AcceleratorParameters
from ....hw.matmul.engine_parameters import TlmmParameters
from ....model import ModelConfig
from ...descriptions.ddr_timing import DdrTiming

__all__ = ["HARDWARE", "MODELS", "STEPS", "Case", "CaseStep", "SimulatedAccelerator", "all_cases"]


@dataclass(frozen=True)
class SimulatedAccelerator:
    """An accelerator and the memory that it is simulated with.

    ``held_out``: the model was not looked at beside its cycles before it was finished. The rule,
    set before the first measurement: accelerator ``narrow`` is, with all its cases; it differs
    from the others in lanes, group size, tables, and in the memory's latency and bandwidth.
    """

    parameters: AcceleratorParameters
    timing: DdrTiming
    held_out: bool


@dataclass(frozen=True)
class CaseStep:
    """``tokens`` tokens from ``position`` on; with ``chooses``, the last one goes to the head."""

    tokens: int
    position: int
    chooses: bool = True

    @property
    def name(self) -> str:
        """Such as ``decode at 100``, ``prefill of 32 at 0``."""
        kind = "decode" if self.tokens == 1 else f"prefill of {self.tokens}"
        return f"{kind} at {self.position}{'' if self.chooses else ', no token'}"


@dataclass(frozen=True)
class Case:
    """A step of a model on an accelerator, by their names."""

    hardware: str
    model: str
    step: CaseStep

    @property
    def held_out(self) -> bool:
        """Whether its hardware is held out."""
        return HARDWARE[self.hardware].held_out


_SMALL = AcceleratorParameters(
    tlmm=TlmmParameters(group_size=3, tables=8, columns=8, max_k=768, max_m=1536),
    word_bytes=16, lanes=4, queries=2, max_width=768, max_head_dim=64, max_heads=8,
    max_context=512, max_vocabulary=512, max_tokens=32, activation_beats=2048, weight_beats=1024,
    address_width=28)

HARDWARE = {
    "small": SimulatedAccelerator(
        _SMALL, DdrTiming(latency=60, refresh_interval=1950, refresh_cycles=88), held_out=False),
    "medium": SimulatedAccelerator(
        replace(_SMALL, word_bytes=32, queries=4, weight_beats=512, activation_beats=1024,
                tlmm=TlmmParameters(group_size=3, tables=16, columns=16, max_k=768, max_m=1536)),
        DdrTiming(latency=40, words=3, per_cycles=4), held_out=False),
    "narrow": SimulatedAccelerator(
        replace(_SMALL, lanes=2, activation_beats=2048, weight_beats=2048,
                tlmm=TlmmParameters(group_size=4, tables=4, columns=8, max_k=768, max_m=1536)),
        DdrTiming(latency=100, words=1, per_cycles=2), held_out=True),
}

_BITNET = ModelConfig(
    family="bitnet", hidden_size=128, intermediate_size=256, num_layers=2, num_heads=4,
    num_kv_heads=2, head_dim=32, vocab_size=256, max_position_embeddings=512, rms_norm_eps=1e-5,
    rope_theta=10000.0, activation="relu2", tie_word_embeddings=True, sub_norm=True, bitlinear=True)

MODELS = {
    "bitnet-128": _BITNET,
    "llama-192": replace(_BITNET, family="llama", hidden_size=192, intermediate_size=512,
                         num_layers=1, num_heads=3, num_kv_heads=3, head_dim=64, vocab_size=384,
                         activation="silu", sub_norm=False),
    "llama-256": replace(_BITNET, family="llama", hidden_size=256, intermediate_size=768,
                         num_heads=8, num_kv_heads=1, activation="silu",
                         tie_word_embeddings=False, sub_norm=False),
    "bitnet-96": replace(_BITNET, hidden_size=96, intermediate_size=160, num_layers=3, num_heads=3,
                         num_kv_heads=1, vocab_size=200),
}

STEPS = {
    "bitnet-128": (CaseStep(1, 0), CaseStep(1, 120), CaseStep(1, 383), CaseStep(32, 0),
                   CaseStep(9, 40, False)),
    "llama-192": (CaseStep(1, 31), CaseStep(1, 250), CaseStep(20, 0)),
    "llama-256": (CaseStep(1, 64), CaseStep(1, 300), CaseStep(32, 100)),
    "bitnet-96": (CaseStep(1, 10), CaseStep(7, 0), CaseStep(32, 352, False)),
}
CAPACITY = 385   # tokens that the cases' programs have room for


def all_cases() -> Iterator[Case]:
    """Every case, one accelerator and one model after the other."""
    for hardware in HARDWARE:
        for model, steps in STEPS.items():
            for step in steps:
                yield Case(hardware, model, step)
