"""The shape of the array, and the cycles that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["PRODUCT_WIDTH", "SCALE_WIDTH", "TOTAL_WIDTH", "ArrayParameters", "Stationary"]

PRODUCT_WIDTH = 22   # signed: at most 8 * 448 * 512
SCALE_WIDTH = 19     # signed, though never negative: at most 448 * 512
TOTAL_WIDTH = 64     # signed: the runtime's int64

_LARGEST_COUNT = 1 << 16


class Stationary(StrEnum):
    """What stays in the array while the rest streams past."""

    WEIGHT = "weight"   # a group of columns, while all tokens of a job pass
    OUTPUT = "output"   # the sums of ``tokens`` tokens, while all groups of K pass


@dataclass(frozen=True)
class ArrayParameters:
    """The shape of an array.

    Parameters
    ----------
    stationary : Stationary
        What stays in the array.
    rows : int
        Output rows M of a tile.
    lanes : int
        Columns K of a beat; divides ``group_size``.
    tokens : int
        Tokens N of a tile: multiplied at the same time if outputs stay, the most that a job may
        have if weights stay.
    group_size : int
        Columns that share a scale: 32, 64 or 128.

    Raises
    ------
    ValueError
        A parameter is none of these.
    """

    stationary: Stationary
    rows: int = 8
    lanes: int = 8
    tokens: int = 4
    group_size: int = 128

    def __post_init__(self) -> None:
        """Check the parameters."""
        if not isinstance(self.stationary, Stationary):
            raise ValueError(f"An array's stationary must be a Stationary, not {self.stationary!r}")
        for name in ("rows", "lanes", "tokens"):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value < _LARGEST_COUNT:
                raise ValueError(f"An array's {name} must be 1 to {_LARGEST_COUNT - 1}, "
                                 f"not {value!r}")
        if type(self.group_size) is not int or self.group_size not in (32, 64, 128):
            raise ValueError(f"An array's group_size must be 32, 64 or 128, "
                             f"not {self.group_size!r}")
        if self.group_size % self.lanes:
            raise ValueError(f"An array's lanes must divide its group_size {self.group_size}; "
                             f"{self.lanes} do not")

    @property
    def beats_per_group(self) -> int:
        """Beats that bring the columns of a group."""
        return self.group_size // self.lanes

    @property
    def parallel_tokens(self) -> int:
        """Tokens of an activation beat."""
        return self.tokens if self.stationary is Stationary.OUTPUT else 1

    @property
    def macs_per_cycle(self) -> int:
        """Multiply-accumulates of a cycle in which a beat of activations enters."""
        return self.rows * self.lanes * self.parallel_tokens

    @property
    def group_width(self) -> int:
        """Bits of the exact sum of a group's products, with its sign."""
        return (self.group_size * 8 * 448 * 512).bit_length() + 1

    def busy_cycles(self, groups: int, tokens: int) -> int:
        """Cycles in which beats of one job enter, if nothing stalls."""
        if self.stationary is Stationary.OUTPUT:
            return groups * self.beats_per_group
        return groups * self.beats_per_group * (1 + tokens)
