"""Formats by tensor: ``RE=FORMAT`` rules, and bits spent where the error is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...errors import FormatError
from ..formats import FORMATS, Format
from ..formats.grammar import StatedFormat, state_format

__all__ = ["KEEP", "Choice", "Rule", "allocate", "matches", "parse_rule"]

KEEP = "keep"


@dataclass(frozen=True)
class Rule:
    """Tensors whose name holds a match of ``pattern`` get the ``stated`` format; None: kept."""

    text: str
    pattern: re.Pattern[str]
    stated: StatedFormat | None


def parse_rule(text: str) -> Rule:
    """``RE=FORMAT``, the format as ``formats.grammar`` has it; ``keep`` is a format here.

    The expression may hold ``=`` itself: the format begins behind the last one that a format's
    name follows.

    Raises
    ------
    FormatError
        There is no format, an option is unknown or wrong, or the expression is none.
    """
    names = sorted([KEEP, *FORMATS], key=len, reverse=True)
    found = re.fullmatch(rf"(.+)=((?:{'|'.join(map(re.escape, names))})(?:,[^,]*)*)", text)
    if found is None:
        raise FormatError(
            f"Tensor format {text!r} must be RE=FORMAT, as in 'down_proj=int8' or "
            f"'layers.0.=int4,group_size=32'; formats are {', '.join(sorted(names))}"
        )
    expression, form = found.groups()
    try:
        pattern = re.compile(expression)
    except re.error as error:
        raise FormatError(f"{expression!r} is no regular expression: {error}") from None
    if form == KEEP:
        return Rule(text, pattern, None)
    if form.startswith(f"{KEEP},"):
        raise FormatError(f"Tensor format {text!r}: {KEEP} has no options")
    try:
        return Rule(text, pattern, state_format(form))
    except FormatError as error:
        raise FormatError(f"Tensor format {text!r}: {error}") from None


def matches(rule: Rule, names: Sequence[str]) -> list[str]:
    """The ``names`` that ``rule`` selects; raises ``FormatError`` if it selects none."""
    matching = [name for name in names if rule.pattern.search(name)]
    if not matching:
        raise FormatError(
            f"Tensor format {rule.text!r} matches no matrix of this model; the first is {names[0]}"
        )
    return matching


@dataclass(frozen=True)
class Choice:
    """A format that a tensor could have: its stored bits, and how large the error would be."""

    format: Format
    bits: int
    error: float


def allocate(
    choices: Mapping[str, Sequence[Choice]], target: float, weights: int
) -> dict[str, Choice]:
    """One choice per tensor, at most ``target`` bits per weight over ``weights`` values.

    Greedy: from the fewest bits for every tensor, again and again the step that takes away most
    error per bit, of those that still fit; equals go by the order of ``choices``. What is left of
    the budget at the end is less than the smallest step that would take away error.

    Raises ``FormatError`` where even the fewest bits are above ``target``.
    """
    chosen = {name: min(some, key=lambda one: one.bits) for name, some in choices.items()}
    budget = target * weights - sum(choice.bits for choice in chosen.values())
    if budget < 0:
        least = target - budget / weights
        raise FormatError(
            f"{target:g} bits per weight cannot be reached: the smallest formats take {least:.3f}"
        )
    while True:
        steps = [
            ((chosen[name].error - other.error) / (other.bits - chosen[name].bits), name, other)
            for name, some in choices.items()
            for other in some
            if chosen[name].bits < other.bits <= chosen[name].bits + budget
            and other.error < chosen[name].error
        ]
        if not steps:
            return chosen
        _, name, step = max(steps, key=lambda one: one[0])
        budget -= step.bits - chosen[name].bits
        chosen[name] = step
