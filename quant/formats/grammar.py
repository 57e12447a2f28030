"""A number format as one string: ``int4,group_size=64,asymmetric``.

A format's name, then its options with commas between: ``option=value``, or of what is true or
false a word alone (``symmetric``, and ``asymmetric`` or ``no-symmetric``). What is not written is
as by default. ``str(form)`` writes a format so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...errors import FormatError
from .base import Format
from .parameters import Parameter, parameters_of
from .registry import FORMATS

__all__ = ["StatedFormat", "parse_format", "state_format", "usage"]


@dataclass(frozen=True)
class StatedFormat:
    """A format, and the names of its parameters that were given and not left to the default."""

    form: Format
    given: frozenset[str]


def state_format(text: str | Format) -> StatedFormat:
    """The format that ``text`` stands for; an object counts as given in all its parameters.

    Raises
    ------
    FormatError
        The name, an option or a value is unknown, or an option is given twice.
    """
    if isinstance(text, Format):
        names = frozenset(parameter.name for parameter in parameters_of(type(text)))
        return StatedFormat(text, names)
    name, *words = str(text).split(",")
    form = FORMATS.find(name)
    values: dict[str, Any] = {}
    for word in words:
        option, value = _option(name, word, parameters_of(form))
        if option in values:
            raise FormatError(f"Number format {text!r}: {option} is given twice")
        values[option] = value
    return StatedFormat(form(**values), frozenset(values))


def parse_format(text: str | Format) -> Format:
    """The format that ``text`` stands for; raises as ``state_format`` does."""
    return state_format(text).form


def usage(name: str) -> str:
    """What can be written behind the format ``name``: its options, with spaces between."""
    return " ".join(parameter.usage for parameter in parameters_of(FORMATS.find(name)))


def _option(name: str, word: str, parameters: tuple[Parameter, ...]) -> tuple[str, Any]:
    """The parameter that ``word`` sets, and its value."""
    option, equals, value = word.partition("=")
    for parameter in parameters:
        if option == parameter.name and (equals or parameter.is_flag):
            try:
                return option, parameter.read(value) if equals else True
            except FormatError as error:
                raise FormatError(f"{name}: {error}") from None
        if parameter.is_flag and word in (parameter.opposite, f"no-{parameter.name}"):
            return parameter.name, False
    options = " ".join(parameter.usage for parameter in parameters)
    raise FormatError(
        f"Number format {name} has no option {word!r}; "
        + (f"its options are {options}" if options else "it has none")
    )
