"""Quantization methods by name: how the codes of a format are chosen.

``rtn``, round to nearest, is each format's own ``encode``; ``cas`` scales columns before it does
the same; neither needs text. Every other method is one file here and one line in ``METHODS``; it
sees what a linear reads on calibration text.
"""

from __future__ import annotations

from ...errors import FormatError
from ...tools.registry import Registry, instance_of
from ..formats import FORMATS, Format
from .calibration import CalibrationSource, LayerwiseRun
from .method import Method

__all__ = ["METHODS", "ROUNDING", "CalibrationSource", "LayerwiseRun", "Method", "choose_method"]

ROUNDING = "rtn"

METHODS: Registry[Method] = Registry(
    "Method", "trilobite.methods", __package__, {
        "gptq": ".gptq:METHOD",
        "awq": ".awq:METHOD",
        "itf": ".itf:METHOD",
        "cas": ".cas:METHOD",
    }, instance_of(Method), FormatError,
)


def choose_method(name: str, form: Format) -> Method | None:
    """The method called ``name``; None for plain rounding.

    Raises
    ------
    FormatError
        There is no such method, or it does not quantize to ``form``.
    """
    if name == ROUNDING:
        return None
    if name not in METHODS:
        known = ", ".join([ROUNDING, *METHODS])
        raise FormatError(f"Method {name!r} is unknown; known are {known}")
    method = METHODS.find(name)
    if not isinstance(form, method.formats):
        able = sorted(one for one in FORMATS.own if issubclass(FORMATS[one], method.formats))
        raise FormatError(f"Method {name} does not make {form.name}; it makes {', '.join(able)}")
    return method
