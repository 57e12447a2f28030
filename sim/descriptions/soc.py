"""A system on chip: processors with calibrated rates that share one memory.

Read from ``sim/descriptions/devices/<name>.toml`` with ``kind = "soc"``. A processor's rate is
known for pairs of operator and precision, as a peak and the fraction of it that is reached with N
tokens at once (*buckets* of N): the advertised peak alone says little (a phone's NPU reaches 1 to 3
% of it with 32 to 64 tokens).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Annotated

from ...errors import EstimateError
from .device import Dram
from .quantity import Corner, Quantity
from .tables import MeasuredIn, build_description, read_toml

__all__ = ["Bucket", "Heat", "Processor", "Rate", "Soc", "SocPower", "in_cache", "load_soc"]

_PROCESSOR_KINDS = ("cpu", "gpu", "npu")


@dataclass(frozen=True)
class Bucket:
    """The fraction of the peak that is reached with ``tokens`` tokens at once."""

    tokens: Annotated[Quantity, MeasuredIn("tokens", count=True)]
    efficiency: Annotated[Quantity, MeasuredIn("fraction")]


@dataclass(frozen=True)
class Rate:
    """How fast one operator runs in one precision.

    ``peak`` counts a multiply-accumulate as two operations; ``start`` passes before an operator's
    first result: launch, synchronization.
    """

    operator: str
    precision: str
    peak: Annotated[Quantity, MeasuredIn("TOPS", positive=True)]
    start: Annotated[Quantity, MeasuredIn("us")]
    buckets: tuple[Bucket, ...]

    def __post_init__(self) -> None:
        """Refuse buckets that are missing, out of order, or above the peak."""
        tokens = [bucket.tokens.count for bucket in self.buckets]
        if not tokens or tokens[0] < 1 or tokens != sorted(set(tokens)):
            raise EstimateError(f"buckets must have rising numbers of tokens from 1, not {tokens}")
        for bucket in self.buckets:
            if not 0 < bucket.efficiency.low <= bucket.efficiency.high <= 1:
                raise EstimateError(
                    f"the efficiency with {bucket.tokens.count} tokens must be above 0 and at "
                    f"most 1, not {bucket.efficiency.low} to {bucket.efficiency.high}"
                )

    def efficiency(self, tokens: int, corner: Corner = Corner.NOMINAL) -> float:
        """Fraction of the peak with ``tokens`` tokens.

        Between two buckets interpolated on logarithms, outside them that of the nearest one.
        """
        points = [
            (bucket.tokens.count, bucket.efficiency.rate(corner)) for bucket in self.buckets
        ]
        if tokens <= points[0][0]:
            return points[0][1]
        for (left, low), (right, high) in itertools.pairwise(points):
            if tokens <= right:
                share = math.log(tokens / left) / math.log(right / left)
                return low * (high / low) ** share
        return points[-1][1]

    def seconds(self, operations: float, tokens: int, corner: Corner = Corner.NOMINAL) -> float:
        """Seconds of arithmetic, ``start`` not included, if memory keeps up."""
        return operations / (self.peak.rate(corner) * 1e12 * self.efficiency(tokens, corner))


@dataclass(frozen=True)
class Processor:
    """A CPU, GPU or NPU: what it draws while it runs, the bandwidth it reaches alone, its rates.

    ``family``: processors for which engines have the same code: the instructions of a CPU
    (``dotprod``, ``avx512-vnni``), the maker or design of a GPU or NPU (``apple``, ``hexagon``).
    ``cache``: bytes of its last cache, where rates are known of work that lies in it
    (``in_cache``).
    """

    name: str
    kind: str
    bandwidth: Annotated[Quantity, MeasuredIn("GB/s", positive=True)]
    power: Annotated[Quantity, MeasuredIn("W")]
    rates: tuple[Rate, ...]
    family: str = ""
    cache: Annotated[Quantity | None, MeasuredIn("B", count=True)] = None

    def __post_init__(self) -> None:
        """Refuse an unknown kind, and two rates for the same work."""
        if self.kind not in _PROCESSOR_KINDS:
            known = ", ".join(_PROCESSOR_KINDS)
            raise EstimateError(f"kind of {self.name} must be one of {known}, not {self.kind!r}")
        works = [(rate.operator, rate.precision) for rate in self.rates]
        if len(set(works)) < len(works):
            raise EstimateError(f"{self.name} has two rates for the same operator and precision")

    def rate(self, operator: str, precision: str) -> Rate:
        """The rate of ``operator`` in ``precision``.

        Raises
        ------
        EstimateError
            The description has none.
        """
        for rate in self.rates:
            if (rate.operator, rate.precision) == (operator, precision):
                return rate
        known = ", ".join(f"{rate.operator} in {rate.precision}" for rate in self.rates)
        raise EstimateError(
            f"The {self.name} has no rate for {operator} in {precision}; it has {known}"
        )


def in_cache(operator: str) -> str:
    """What ``operator`` is called where all that it reads lies in the processor's cache."""
    return f"{operator} in cache"


@dataclass(frozen=True)
class Heat:
    """What is left of a SoC's rates when it is hot, and how soon it is.

    Rates fall towards ``share`` of those of a cool one; after ``minutes`` of load, 63 % of the way.
    """

    share: Annotated[Quantity, MeasuredIn("fraction", positive=True, most=1.0)]
    minutes: Annotated[Quantity, MeasuredIn("min", positive=True)]

    def slowdown(self, minutes: float, corner: Corner) -> float:
        """By which factor everything takes longer after ``minutes`` of load."""
        reached = 1 - math.exp(-minutes / self.minutes.rate(corner))
        return 1 / (1 - (1 - self.share.rate(corner)) * reached)


@dataclass(frozen=True)
class SocPower:
    """The power that the board draws at all times."""

    idle: Annotated[Quantity, MeasuredIn("W")]


@dataclass(frozen=True)
class Soc:
    """A SoC: ``dram.sustained`` is what all processors reach together.

    ``flash``: how fast its storage is read in large blocks; ``heat``: how it slows down under a
    long load; where that is known.
    """

    name: str
    kind: str
    dram: Dram
    power: SocPower
    processors: tuple[Processor, ...]
    flash: Annotated[Quantity | None, MeasuredIn("GB/s", positive=True)] = None
    heat: Heat | None = None

    def __post_init__(self) -> None:
        """Refuse what is no SoC, has no processor, or two of one name."""
        if self.kind != "soc":
            raise EstimateError(f"kind must be 'soc', not {self.kind!r}")
        names = [processor.name for processor in self.processors]
        if not names or len(set(names)) < len(names):
            raise EstimateError(f"processors must be there and have names of their own: {names}")

    def processor(self, name: str) -> Processor:
        """The processor called ``name``.

        Raises
        ------
        EstimateError
            There is none.
        """
        for processor in self.processors:
            if processor.name == name:
                return processor
        known = ", ".join(processor.name for processor in self.processors)
        raise EstimateError(f"{self.name} has no processor {name!r}; it has {known}")


def load_soc(name: str) -> Soc:
    """Read the bundled SoC ``name`` (``snapdragon-8-gen-3``), or a .toml file.

    Raises
    ------
    EstimateError
        The file is missing, describes an FPGA board, or says something that a ``Soc`` does not
        hold.
    """
    data, where = read_toml("devices", name)
    if data.get("kind") == "fpga":
        raise EstimateError(f"{where}: an FPGA board has no processors to schedule; give a SoC")
    return build_description(Soc, data, where)
