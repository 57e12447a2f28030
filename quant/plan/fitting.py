"""A format whose groups fit a model's matrices, and what is said where no format was chosen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ...errors import FormatError
from ..checkpoint import Checkpoint
from ..formats import Format, Int3, Int4, Int8
from ..formats.grammar import StatedFormat
from ..formats.parameters import parameters_of

__all__ = ["GROUP", "Fitted", "ask_for_format", "fit_format", "fits", "stored_bits"]

GROUP = "group_size"
# What is offered for a model that was not trained ternary: a format, the method to make it with.
_OFFERS: tuple[tuple[Format, str | None], ...] = ((Int8(), None), (Int4(), "gptq"),
                                                  (Int3(), "gptq"))

Shapes = Mapping[str, tuple[int, ...]]   # of matrices, by name


@dataclass(frozen=True)
class Fitted:
    """A format for some matrices; ``note`` is a sentence where its groups had to be smaller."""

    form: Format
    note: str | None = None


def fit_format(stated: StatedFormat, shapes: Shapes) -> Fitted:
    """``stated`` for the matrices of ``shapes``: groups that were not given are as large as fit.

    Fitting is to leave as few weights as possible without the format; of equal sizes the larger
    is taken. A group size that was given stays.
    """
    wanted: Any = stated.form   # with groups or without
    if GROUP in stated.given or not isinstance(getattr(wanted, GROUP, None), int):
        return Fitted(wanted)
    sizes = next(p.choices for p in parameters_of(type(wanted)) if p.name == GROUP)
    smaller = sorted((size for size in sizes if size and size < wanted.group_size), reverse=True)
    forms = [wanted, *(replace(wanted, group_size=size) for size in smaller)]
    best = min(forms, key=lambda form: _lost(form, shapes))   # the first of equals
    if best == wanted:
        return Fitted(wanted)
    unfit = [name for name, shape in shapes.items() if not fits(wanted, shape)]
    return Fitted(best, (
        f"Groups of {wanted.group_size} columns do not fit {len(unfit)} of {len(shapes)} matrices, "
        f"the first of them {unfit[0]} (K = {shapes[unfit[0]][1]}): groups of {best.group_size} "
        f"were taken, format {best}"
    ))


def fits(form: Format, shape: tuple[int, ...]) -> bool:
    """Whether ``form`` can hold a matrix of ``shape``."""
    try:
        form.check("", shape)
    except FormatError:
        return False
    return True


def stored_bits(form: Format, shapes: Shapes) -> float:
    """Stored bits per weight of matrices that ``form`` fits, scales and padding included."""
    nbytes = sum(part.nbytes for M, K in shapes.values() for part in form.layout((M, K)).values())
    return 8 * nbytes / sum(map(math.prod, shapes.values()))


def ask_for_format(checkpoint: Checkpoint, name: str) -> FormatError:
    """The error that asks for a format and offers some, with their stored bits."""
    shapes = {each: checkpoint.tensors[each].shape for each in checkpoint.config.linear_weights()}
    offers = []
    for form, method in _OFFERS:
        fitted = fit_format(StatedFormat(form, frozenset()), shapes).form
        if all(fits(fitted, shape) for shape in shapes.values()):
            by = f", with method {method}" if method else ""
            offers.append(f"{fitted} ({stored_bits(fitted, shapes):.2f} stored bits per linear "
                          f"weight{by})")
    return FormatError(
        f"{name} was not trained ternary, so that no format can be taken for granted: choose one, "
        f"such as {'; '.join(offers) or 'int8'}. The fewer bits, the more is lost: "
        "docs/explanation/quantization.md shows how much"
    )


def _lost(form: Format, shapes: Shapes) -> int:
    """How many weights ``form`` does not fit."""
    return sum(math.prod(shape) for shape in shapes.values() if not fits(form, shape))
