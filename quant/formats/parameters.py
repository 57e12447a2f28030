"""The parameters of a number format: their choices, and how each is written in one word.

They are the fields of the format's dataclass. A field says what it may be by its type: ``bool``, a
``Literal``, or a type annotated with ``Choices``; of any other type the format itself decides.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from ...errors import FormatError

__all__ = ["Choices", "Parameter", "parameters_of", "written"]

_WORDS = {None: "row", True: "true", False: "false"}   # what is not written as Python prints it


@dataclass(frozen=True)
class Choices:
    """Annotation of a field: the values that it may have."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class Parameter:
    """One parameter of a format.

    ``choices`` are its values, none where the format decides; ``opposite`` is the word for False.
    """

    name: str
    default: Any
    choices: tuple[Any, ...]
    opposite: str | None

    @property
    def is_flag(self) -> bool:
        """Whether it is true or false, and is written as a word alone."""
        return self.choices == (True, False)

    @property
    def usage(self) -> str:
        """What can be written for it: ``group_size=32|64|128|row``."""
        if self.is_flag:
            return f"{self.name}|{self.opposite}"
        return f"{self.name}={'|'.join(map(_word, self.choices)) or type(self.default).__name__}"

    def shown(self, value: Any) -> str:
        """How ``value`` is written: ``group_size=64``, ``asymmetric``."""
        if self.is_flag:
            return self.name if value else str(self.opposite)
        return f"{self.name}={_word(value)}"

    def read(self, word: str) -> Any:
        """The value that ``word``, behind ``=``, stands for; raises ``FormatError``."""
        by_word = {_word(choice): choice for choice in self.choices}
        if word in by_word:
            return by_word[word]
        if not self.choices:
            return self._converted(word)
        *others, last = by_word
        raise FormatError(f"{self.name} must be {', '.join(others)} or {last}, not {word!r}")

    def _converted(self, word: str) -> Any:
        """``word`` as the type of the default."""
        try:
            return type(self.default)(word)
        except (TypeError, ValueError):
            kind = type(self.default).__name__
            raise FormatError(f"{self.name} must be of type {kind}, not {word!r}") from None


def parameters_of(form: type) -> tuple[Parameter, ...]:
    """The parameters of a class of format, in the order of its fields."""
    hints = get_type_hints(form, include_extras=True)
    opposites = getattr(form, "opposites", {})
    return tuple(
        Parameter(field.name, field.default, _choices(hints[field.name]),
                  opposites.get(field.name, f"no-{field.name}"))
        for field in dataclasses.fields(form)
    )


def written(name: str, form: Any) -> str:
    """The format ``form`` called ``name`` in one string, without what is as by default."""
    values = ((parameter, getattr(form, parameter.name)) for parameter in parameters_of(type(form)))
    return ",".join([name, *(parameter.shown(value) for parameter, value in values
                             if value != parameter.default)])


def _choices(hint: Any) -> tuple[Any, ...]:
    """The values that a field's type allows; none where it does not say."""
    if hint is bool:
        return True, False
    if get_origin(hint) is Literal:
        return get_args(hint)
    if get_origin(hint) is Annotated:
        return next((each.values for each in hint.__metadata__ if isinstance(each, Choices)), ())
    return ()


def _word(value: Any) -> str:
    known = value is None or isinstance(value, bool)   # 1 == True, but is not written so
    return _WORDS[value] if known else str(value)
