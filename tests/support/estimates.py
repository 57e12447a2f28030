"""Descriptions to estimate with: the bundled ones, and variations of them."""

import dataclasses
from typing import TypeVar

from trilobite.model import ModelConfig
from trilobite.sim.descriptions.accelerator import load_accelerator
from trilobite.sim.descriptions.device import Device, load_device
from trilobite.sim.descriptions.formula_accelerator import FormulaAccelerator
from trilobite.sim.descriptions.quantity import Corner, Quantity
from trilobite.sim.descriptions.shapes import ModelShape, load_shape
from trilobite.sim.formulas.cycles import CycleModel
from trilobite.sim.formulas.latency import Machine


def exact(value: float, unit: str = "unit") -> Quantity:
    """A constant without a range."""
    return Quantity(value, value, value, unit, "assumption", "a test")


Description = TypeVar("Description", Device, FormulaAccelerator)


def changed(description: Description, **tables: dict[str, Quantity]) -> Description:
    """A device or an accelerator with some constants replaced, table by table."""
    return dataclasses.replace(description, **{
        name: dataclasses.replace(getattr(description, name), **constants)
        for name, constants in tables.items()
    })


KV260 = load_device("kv260")
# The bundled accelerator with an engine that does not change when the bundled one does.
TLMM = changed(load_accelerator("tlmm-kv260").formulas, tlmm={
    "group_size": exact(3), "tables": exact(32), "columns": exact(16),
    "max_k": exact(8192), "max_m": exact(8192),
})
LARGE = load_shape("bitnet-0.73b")
TWO_BILLION = load_shape("bitnet-2b")


def machine(
    device: Device = KV260, hardware: FormulaAccelerator = TLMM, corner: Corner = Corner.NOMINAL,
    cycles: dict[tuple[int, int], int] | None = None,
) -> Machine:
    """A device with an accelerator at one corner."""
    return Machine(device, hardware, CycleModel(hardware.tlmm.parameters(), cycles or {}), corner)


def small_config(**changes) -> ModelConfig:
    """A model of two layers whose numbers can be followed by hand."""
    config = ModelConfig(
        family="llama", hidden_size=8, intermediate_size=12, num_layers=2, num_heads=2,
        num_kv_heads=1, head_dim=4, vocab_size=10, max_position_embeddings=64, rms_norm_eps=1e-5,
        rope_theta=10000.0, tie_word_embeddings=True,
    )
    return dataclasses.replace(config, **changes)


def small_shape(name: str = "small", **changes) -> ModelShape:
    """That model, as something to estimate."""
    return ModelShape(name, "a test", small_config(**changes))
