"""The ``quantization_config`` of config.json: how the linear weights are stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import CheckpointError, FormatError
from ..formats import Format, format_from_spec
from .compressed_tensors import compressed_scheme
from .files.fields import Fields, shown
from .fp8_blocks import fp8_scheme
from .gptq import awq_scheme, gptq_scheme
from .scheme import Scheme

__all__ = ["BitnetStorage", "Quantization", "parse_quantization"]

TRILOBITE_VERSION = 1
_NO_LINEARS = ("lm_head", "embed_tokens", "model.embed_tokens", "norm", "model.norm")
_SCHEMES = {"gptq": gptq_scheme, "awq": awq_scheme, "compressed-tensors": compressed_scheme,
            "fp8": fp8_scheme}


@dataclass(frozen=True)
class BitnetStorage:
    """How a Hugging Face BitNet checkpoint stores its ternary linears.

    ``packed`` is False for master weights, which are quantized as they are loaded ("online").
    Otherwise four rows of trits lie in one of bytes and ``weight_scale`` multiplies them
    (``autobitlinear``) or divides them (``bitlinear``); magnitude cannot tell which.
    """

    packed: bool
    scale_divides: bool = False


@dataclass(frozen=True)
class Quantization:
    """What ``quantization_config`` says; all empty for a float checkpoint.

    ``bitnet`` describes the ternary linears of a BitNet model; in a folder that Trilobite
    quantized it is what ``source_quantization_config`` said of the source. ``formats`` maps the
    canonical name of each weight that Trilobite packed to its format, and ``stated`` is the
    configuration that Trilobite wrote, as it stands. ``scheme`` reads the linears of other tools.
    ``mxfp4_experts``: all experts are MXFP4, as gpt-oss is published.
    """

    bitnet: BitnetStorage | None = None
    formats: Mapping[str, Format] = field(default_factory=dict)
    stated: dict[str, Any] | None = None
    scheme: Scheme | None = None
    mxfp4_experts: bool = False

    @property
    def packed_trits(self) -> bool:
        """Whether the linears lie in BitNet's own packing."""
        return self.stated is None and self.bitnet is not None and self.bitnet.packed

    @property
    def scale_divides(self) -> bool:
        """Whether the scale of BitNet's own packing divides."""
        return self.bitnet is not None and self.bitnet.scale_divides


def parse_quantization(raw: dict[str, Any], path: Path) -> Quantization:
    """Read the quantization out of a parsed config.json.

    Raises
    ------
    CheckpointError
        A method that is not known, or a setting that is not understood.
    """
    stated = raw.get("quantization_config")
    if stated is None:
        return Quantization()
    fields = Fields(raw, str(path)).fields("quantization_config")
    method = fields.choice("quant_method", ["bitnet", "trilobite", "mxfp4", *_SCHEMES])
    if method == "bitnet":
        return Quantization(_bitnet(fields))
    if method == "mxfp4":
        fields.ignore(["modules_to_not_convert"])   # of which matrices, the tensors say
        fields.fixed("dequantize", False)
        fields.finish()
        return Quantization(mxfp4_experts=True)
    if method in _SCHEMES:
        return Quantization(scheme=_SCHEMES[method](fields))
    source = None
    if raw.get("source_quantization_config") is not None:
        inner = Fields(raw, str(path)).fields("source_quantization_config")
        inner.choice("quant_method", ["bitnet"])
        source = _bitnet(inner)
    fields.integer("version", TRILOBITE_VERSION)
    fields.ignore(["format"])
    formats = _formats(fields, path)
    fields.finish()
    return Quantization(source, formats, stated)


def _bitnet(fields: Fields) -> BitnetStorage:
    """``transformers.BitNetQuantConfig``, its defaults included."""
    kind = fields.choice("linear_class", ["bitlinear", "autobitlinear"], default="bitlinear")
    mode = fields.choice("quantization_mode", ["offline", "online"], default="offline")
    fields.fixed("use_rms_norm", False)
    kept = fields.raw("modules_to_not_convert")
    if kept is not None and not (
        isinstance(kept, list) and "lm_head" in kept and all(name in _NO_LINEARS for name in kept)
    ):
        raise fields.refuse("modules_to_not_convert", 'a list with "lm_head" and no other linear')
    # rms_norm_eps: of the norm that use_rms_norm would add. Some packers state bits; the stored
    # type says them.
    fields.ignore(["rms_norm_eps", "bits"])
    fields.finish()
    if kind == "bitlinear":
        return BitnetStorage(packed=True, scale_divides=True)
    return BitnetStorage(packed=mode == "offline")


def _formats(fields: Fields, path: Path) -> dict[str, Format]:
    specs = fields.raw("tensors")
    if not isinstance(specs, dict):
        raise fields.refuse("tensors", "an object that gives each packed weight its format")
    formats = {}
    for name, spec in specs.items():
        if not isinstance(spec, dict):
            raise CheckpointError(f"{path}: the format of {name} is {shown(spec)}, not an object")
        try:
            formats[name] = format_from_spec(spec)
        except FormatError as error:
            raise CheckpointError(f"{path}: the format of {name} is damaged: {error}") from None
    return formats
