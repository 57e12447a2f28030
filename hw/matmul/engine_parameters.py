"""The shape of a table-lookup matmul engine, what follows from it, and how long it takes.

Plain Python: the cost model counts cycles without Amaranth being installed.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["MOST", "TlmmParameters", "check_sizes", "cycles", "sign_select_cycles", "signed_width"]

# Far above any engine, far below what would make a description take memory before it is refused.
MOST = {"tables": 1 << 16, "columns": 1 << 16, "max_k": 1 << 24, "max_m": 1 << 24,
        "activation_width": 64}


def signed_width(magnitude: int) -> int:
    """Bits of the narrowest signed integer that holds both ``magnitude`` and ``-magnitude``."""
    return magnitude.bit_length() + 1


def check_sizes(parameters: DataclassInstance, whose: str) -> None:
    """Check that every field of ``parameters`` is an integer of at least 1.

    Raises
    ------
    TypeError
        A field is not an integer. The message begins with ``whose`` and names the field.
    ValueError
        A field is below 1.
    """
    for field in fields(parameters):
        value = getattr(parameters, field.name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{whose} {field.name} must be an integer, not {value!r}")
        if value < 1:
            raise ValueError(f"{whose} {field.name} must be at least 1, not {value!r}")


@dataclass(frozen=True)
class TlmmParameters:
    """Parameters of one engine; every width and depth of the hardware is derived from them.

    Parameters
    ----------
    group_size : int
        G: activations (and ternary weights) that one lookup covers, 2 to 5.
    tables : int
        T: groups in a pass; a pass consumes ``tables * group_size`` activations.
    columns : int
        C: output rows computed side by side, each reading every table.
    max_k : int
        Longest reduction (K) that a job may have. The accumulators are made wide enough for it.
    max_m : int
        Most output rows (M) that a job may have. The accumulator memory is made deep enough.
    activation_width : int
        Bits of a signed activation.

    Raises
    ------
    TypeError
        A parameter is not an integer.
    ValueError
        A parameter is out of range.
    """

    group_size: int
    tables: int
    columns: int
    max_k: int
    max_m: int
    activation_width: int = 8

    def __post_init__(self) -> None:
        check_sizes(self, "TLMM parameter")
        if not 2 <= self.group_size <= 5:
            raise ValueError(f"TLMM parameter group_size must be 2 to 5, not {self.group_size!r}")
        if self.activation_width < 2:
            raise ValueError("TLMM parameter activation_width must be at least 2, not "
                             f"{self.activation_width!r}")
        for name, most in MOST.items():
            if getattr(self, name) > most:
                raise ValueError(f"TLMM parameter {name} must be at most {most}, not "
                                 f"{getattr(self, name)!r}")

    @property
    def entries(self) -> int:
        """Entries of one table: 0, and one of each pair of the other 3^G - 1 sums, a and -a."""
        return (3 ** self.group_size + 1) // 2

    @property
    def index_width(self) -> int:
        """Bits of one packed weight index: which entry, and its sign on top."""
        return 1 + (self.entries - 1).bit_length()

    @property
    def entry_width(self) -> int:
        """Bits of a table entry: a signed sum of G activations."""
        return signed_width(self.group_size << (self.activation_width - 1))

    @property
    def pass_length(self) -> int:
        """Activations that one pass consumes: T * G."""
        return self.tables * self.group_size

    @property
    def max_passes(self) -> int:
        """Passes of the longest job."""
        return self.passes(self.max_k)

    @property
    def max_blocks(self) -> int:
        """Blocks of the tallest job."""
        return self.blocks(self.max_m)

    @property
    def accumulator_width(self) -> int:
        """Bits of an accumulator.

        Enough for ``max_passes`` full passes of the largest activation, so that nothing a stream
        may carry overflows, not even where the padding past K is not zero.
        """
        return signed_width((self.max_passes * self.pass_length) << (self.activation_width - 1))

    @property
    def macs_per_cycle(self) -> int:
        """Ternary multiply-accumulates that one weight beat stands for: T * G * C."""
        return self.pass_length * self.columns

    @property
    def adder_levels(self) -> int:
        """Levels (and register stages) of the adder tree over T."""
        return (self.tables - 1).bit_length()

    @property
    def latency(self) -> int:
        """Cycles from a weight beat of the last pass to its output beat: lookup, tree, sum."""
        return self.adder_levels + 2

    @property
    def sign_select_latency(self) -> int:
        """The latency of ``SignSelect``: decoding, a tree over T * G + 1 addends, sum."""
        return self.pass_length.bit_length() + 2

    def passes(self, K: int) -> int:
        """Passes that a reduction of length K takes."""
        return -(-K // self.pass_length)

    def blocks(self, M: int) -> int:
        """Blocks of C output rows in M rows."""
        return -(-M // self.columns)


def cycles(parameters: TlmmParameters, K: int, M: int, N: int = 1) -> int:
    """Cycles that the unstalled engine takes for N consecutive [M, K] jobs. Exact.

    Counted from the first beat accepted on any stream to the last output beat, both included,
    with every producer always valid and the consumer always ready.

    One cycle takes in the first activations, and each entry of their tables takes one. Each pass
    then occupies the engine for as long as the slower of its two halves: reading the tables (one
    weight beat per block) or building those of the next pass. The last pass only has to be read,
    and its last beat leaves ``latency`` cycles later. Passes of consecutive jobs follow each
    other like passes of one job, so N jobs cost one start and one end.
    """
    return _run_cycles(parameters, K, M, N, start=1 + parameters.entries,
                       least_interval=parameters.entries, latency=parameters.latency)


def sign_select_cycles(parameters: TlmmParameters, K: int, M: int, N: int = 1) -> int:
    """What ``cycles`` is for ``hw.matmul.sign_select.SignSelect``, which has no tables to build.

    The activations of a pass move twice before they are used, which takes two cycles.
    """
    return _run_cycles(parameters, K, M, N, start=2, least_interval=2,
                       latency=parameters.sign_select_latency)


def _run_cycles(parameters: TlmmParameters, K: int, M: int, N: int, *, start: int,
                least_interval: int, latency: int) -> int:
    for name, value in (("K", K), ("M", M), ("N", N)):
        if value < 1:
            raise ValueError(f"A job's {name} must be at least 1, not {value!r}")
    blocks = parameters.blocks(M)
    interval = max(blocks, least_interval)
    return start + (N * parameters.passes(K) - 1) * interval + blocks + latency
