"""Joules of a step, split by what draws them.

    static  = (idle power + URAM at rest) x time
    active  = power of the clocked fabric and the processor that drives it x time
    compute = operations x their energies
    dram    = bits over the pins x energy per bit

The first two grow with time, the last two with work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..descriptions.device import Device, Power
from ..descriptions.quantity import Corner
from .latency import Machine
from .workload import Workload

__all__ = ["PARTS", "Energy", "Powered", "Supply", "active_share", "step_energy", "work_energy"]

PARTS = ("static", "active", "compute", "dram")


@dataclass(frozen=True)
class Energy:
    """Joules by part."""

    static: float
    active: float
    compute: float
    dram: float

    @property
    def standing(self) -> float:
        """Joules that grow with time."""
        return self.static + self.active

    @property
    def working(self) -> float:
        """Joules that grow with work."""
        return self.compute + self.dram

    @property
    def total(self) -> float:
        """Joules in all."""
        return self.standing + self.working

    def __add__(self, other: Energy) -> Energy:
        """The sum, part by part."""
        return Energy(*(getattr(self, part) + getattr(other, part) for part in PARTS))

    def scaled(self, factor: float) -> Energy:
        """Every part times ``factor``."""
        return Energy(*(factor * getattr(self, part) for part in PARTS))


class Powered(Protocol):
    """What draws power: a device with so many URAM in use, at one corner of its constants."""

    @property
    def device(self) -> Device: ...   # noqa: D102

    @property
    def uram(self) -> int: ...   # noqa: D102

    @property
    def corner(self) -> Corner: ...   # noqa: D102


@dataclass(frozen=True)
class Supply:
    """``Powered``, and nothing more."""

    device: Device
    uram: int
    corner: Corner


def active_share(power: Power, megahertz: ArrayLike, lut: ArrayLike) -> NDArray[np.float64]:
    """``power.active`` of designs of ``lut`` at ``megahertz``, as a fraction of what is described.

    1 where the description does not say of which design it is.
    """
    if power.active_fixed is None or power.active_clock is None or power.active_lut is None:
        return np.ones(())
    fixed = power.active_fixed.nominal
    return np.asarray(fixed + (1 - fixed) * np.asarray(megahertz) / power.active_clock.nominal
                      * np.asarray(lut) / power.active_lut.nominal)


def work_energy(
    machine: Powered, seconds: float, dram_bytes: float, ternary_macs: float,
    int8_macs: float = 0.0, operations: float = 0.0,
) -> Energy:
    """Joules of ``seconds`` on ``machine`` in which this traffic and this arithmetic happen."""
    power, corner = machine.device.power, machine.corner
    static = power.idle.cost(corner) + machine.uram * power.uram_rest.cost(corner) * 1e-3
    picojoules = (
        ternary_macs * power.ternary_mac.cost(corner)
        + int8_macs * power.int8_mac.cost(corner)
        + operations * power.operation.cost(corner)
    )
    return Energy(
        static=static * seconds,
        active=power.active.cost(corner) * seconds,
        compute=picojoules * 1e-12,
        dram=8 * dram_bytes * machine.device.dram.energy.cost(corner) * 1e-12,
    )


def step_energy(machine: Machine, workload: Workload) -> Energy:
    """Joules of a whole step, in the time that ``machine`` takes for it."""
    macs = {"tlmm": 0, "integer": 0, "vector": 0}
    for operator in workload.operators:
        macs[operator.unit] += operator.count * operator.macs
    return work_energy(
        machine, machine.step_time(workload), machine.step_bytes(workload), macs["tlmm"],
        macs["integer"], workload.total("operations"),
    )
