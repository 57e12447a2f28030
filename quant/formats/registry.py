"""The number formats by name. A new one is one file beside these and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import FormatError
from ...tools.registry import Registry
from .base import Format

__all__ = ["FORMATS", "format_from_spec"]


def _wrong(name: str, thing: Any) -> str | None:
    """Why ``thing`` is not the class of the format ``name``."""
    if not (isinstance(thing, type) and issubclass(thing, Format)):
        return "is no subclass of Format"
    stated = getattr(thing, "name", None)
    return None if stated == name else f"says that its name is {stated!r}, not {name!r}"


FORMATS: Registry[type[Format]] = Registry(
    "Number format", "trilobite.formats", __package__, {
        "ternary": ".ternary:Ternary",
        "ternary-group": ".grouped_ternary:GroupedTernary",
        "ternary-planes": ".ternary_planes:TernaryPlanes",
        "hlq2": ".hlq:Hlq2",
        "hlq3": ".hlq:Hlq3",
        "int2": ".grouped_int:Int2",
        "int3": ".grouped_int:Int3",
        "int4": ".grouped_int:Int4",
        "int4-fp8": ".int4_fp8:Int4Fp8",
        "mxfp4": ".mxfp4:Mxfp4",
        "nvfp4": ".nvfp4:Nvfp4",
        "int8": ".int8:Int8",
        "fp8": ".fp8:Fp8",
    }, _wrong, FormatError,
)


def format_from_spec(spec: Mapping[str, Any]) -> Format:
    """Build the format that ``Format.spec`` described.

    Raises
    ------
    FormatError
        The name is unknown, or a parameter is unknown or out of range.
    """
    parameters = dict(spec)
    name = parameters.pop("format", None)
    form = FORMATS.find(name)
    try:
        return form(**parameters)
    except TypeError as error:
        raise FormatError(f"Number format {name!r} does not take {parameters}: {error}") from None
