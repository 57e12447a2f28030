"""Descriptors and the state of a step, as signals."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import data

from .accelerator_parameters import AcceleratorParameters
from .descriptors import DESCRIPTOR_BYTES, FIELDS

__all__ = ["descriptor_layout", "once", "state_layout", "weight_tile_layout"]


def descriptor_layout() -> data.StructLayout:
    """The fields of ``Descriptor``, and what fills it up."""
    unused = 8 * DESCRIPTOR_BYTES - sum(FIELDS.values())
    return data.StructLayout({**FIELDS, "unused": unused})


def weight_tile_layout() -> data.StructLayout:
    """The fields of ``WeightTile``."""
    return data.StructLayout({"word": 32, "words": 32, "beats": 32, "scales": 32})


def state_layout(parameters: AcceleratorParameters) -> data.StructLayout:
    """A step: how many ``tokens``, the position of the first one, and who chooses.

    With ``logits``, those of the last token go to memory.
    """
    return data.StructLayout({"tokens": range(parameters.max_tokens + 1),
                              "position": range(parameters.max_context + 1), "logits": 1})


def once(m: Module, active, name: str) -> Signal:
    """High in the first cycle of each time that ``active`` is high."""
    was = Signal(name=f"{name}_was_active")
    first = Signal(name=f"{name}_begins")
    m.d.sync += was.eq(active)
    m.d.comb += first.eq(active & ~was)
    return first
