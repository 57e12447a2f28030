"""The designs that are compared: every combination of a few values per axis."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...errors import EstimateError
from ...hw import TlmmParameters
from ..device import Device
from ..hardware import URAM_BYTES, Hardware
from .lut_model import GROUPS

__all__ = ["MOST_POINTS", "Design", "Space", "make_space"]

MOST_POINTS = 4_000_000   # results take about 100 bytes per point
_LARGEST = 32             # tables and columns: the largest engine that has been synthesized
_MHZ = (100.0, 125.0, 150.0, 175.0, 200.0, 225.0, 250.0)
_URAMS = (0, 4, 8, 16, 24, 32, 40, 48)
_CHUNKS = (16, 32, 64, 128)
_KV_BITS = (8, 4)


@dataclass(frozen=True)
class Design:
    """One point: an engine, its clock, URAM of the weight buffer, prefill chunk, cache width."""

    group_size: int
    tables: int
    columns: int
    mhz: float
    urams: int
    chunk: int
    kv_bits: int

    @property
    def weight_buffer(self) -> int:
        """Bytes of the weight buffer."""
        return self.urams * URAM_BYTES


@dataclass(frozen=True)
class Space:
    """A grid of designs. Results are arrays of ``shape``; ``design`` names what stands where."""

    engines: tuple[TlmmParameters, ...]
    mhz: tuple[float, ...]
    urams: tuple[int, ...]
    chunks: tuple[int, ...]
    kv_bits: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """Lengths of the axes: engine, clock, URAM, chunk, cache width."""
        return (len(self.engines), len(self.mhz), len(self.urams), len(self.chunks),
                len(self.kv_bits))

    @property
    def size(self) -> int:
        """How many designs there are."""
        return math.prod(self.shape)

    def design(self, engine: int, clock: int, uram: int, chunk: int, kv: int) -> Design:
        """The design at these positions of the axes."""
        parameters = self.engines[engine]
        return Design(
            parameters.group_size, parameters.tables, parameters.columns, self.mhz[clock],
            self.urams[uram], self.chunks[chunk], self.kv_bits[kv],
        )


def make_space(device: Device, hardware: Hardware, prompt: int, points: int) -> Space:
    """A grid of at least ``points`` designs, as fine in tables and columns as that takes.

    What else an accelerator has is as ``hardware`` says. URAM of the weight buffer stay within
    ``device``; a chunk longer than the prompt is the whole prompt.

    Raises
    ------
    EstimateError
        ``points`` is below 1, above ``MOST_POINTS``, or more than the finest grid has.
    """
    if not 1 <= points <= MOST_POINTS:
        raise EstimateError(f"--points must be 1 to {MOST_POINTS:,}, not {points:,}")
    urams = tuple(number for number in _URAMS if number <= device.fabric.uram.count)
    chunks = tuple(sorted({min(chunk, prompt) for chunk in (*_CHUNKS, prompt)}))
    around = len(_MHZ) * len(urams) * len(chunks) * len(_KV_BITS) * len(GROUPS)
    steps = math.ceil(math.sqrt(points / around))
    if steps > _LARGEST:
        raise EstimateError(
            f"--points {points:,} are more than the {around * _LARGEST ** 2:,} that there are for "
            f"{device.name} and a prompt of {prompt}"
        )
    sizes = _spread(steps)
    engines = tuple(
        TlmmParameters(group, tables, columns, hardware.tlmm.max_k.count,
                       hardware.tlmm.max_m.count, hardware.tlmm.activation_width.count)
        for group in GROUPS for tables in sizes for columns in sizes
    )
    return Space(engines, _MHZ, urams, chunks, _KV_BITS)


def _spread(count: int) -> list[int]:
    """``count`` whole numbers up to ``_LARGEST``, evenly spread; the largest is always there."""
    return [-(-_LARGEST * (index + 1) // count) for index in range(count)]
