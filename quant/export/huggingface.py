"""Folders that ``transformers`` loads: floats, BitNet's packed trits, compressed-tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from typing_extensions import override

from ...errors import CheckpointError, FormatError
from ...model import ModelConfig
from ...tools.json_text import json_text
from ...tools.progress import Progress
from ..checkpoint import Checkpoint
from ..checkpoint.fused import FUSED
from ..formats import Ternary
from ..output.atomic import write_synced
from ..output.safetensors_writer import SafetensorsWriter, TensorEntry, safetensors_bytes
from .base import Export, Exporter
from .huggingface_tensors import (
    BitnetTensor,
    CompressedTensor,
    FloatTensor,
    HuggingFaceTensor,
    JoinedTensor,
    weight_bits,
)

__all__ = ["EXPORTER", "HuggingFace"]

_CONFIG_BYTES = 1 << 16
_PACKED_BITNET = {
    "quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "offline",
}
_TORCH_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


class HuggingFace(Exporter):
    """A Hugging Face folder: config.json, model.safetensors and the tokenizer's files."""

    name = "hf"
    types: ClassVar[dict[str, str]] = {
        "auto": "bitnet or compressed where that holds the codes, else float32",
        "bitnet": "BitNet's packed trits; transformers quantizes activations to int8",
        "compressed": "integer codes as compressed-tensors packs them (pack-quantized)",
        "float32": "the numbers that the codes stand for",
        "bfloat16": "the same, rounded",
    }
    writes = "folder"

    @override
    def plan(self, checkpoint: Checkpoint, type: str) -> Export:
        if type == "auto":
            type = _choose(checkpoint)
        if type in ("bitnet", "compressed") and checkpoint.config.family in FUSED:
            family = checkpoint.config.family
            raise CheckpointError(
                f"{checkpoint.folder} is a {family}: transformers has its "
                f"{' and '.join(FUSED[family])} as one matrix each, whose parts --type {type} "
                "cannot join; choose --type float32 or bfloat16")
        if type == "bitnet":
            return _Folder(checkpoint, _bitnet(checkpoint), _PACKED_BITNET, "F32")
        if type == "compressed":
            tensors = _compressed(checkpoint)
            return _Folder(checkpoint, tensors, _compressed_config(tensors), "F32")
        dtype = "F32" if type == "float32" else "BF16"
        return _Folder(checkpoint, _floats(checkpoint, dtype), None, dtype)


class _Folder(Export):
    """One folder, planned: its tensors, and what config.json says of their storage."""

    def __init__(
        self, checkpoint: Checkpoint, tensors: list[HuggingFaceTensor],
        quantization: dict[str, Any] | None, dtype: str,
    ) -> None:
        self._checkpoint = checkpoint
        self._planned = tensors
        self._quantization = quantization
        self._dtype = dtype
        self.tensors = [part for tensor in tensors for part in tensor.exported()]
        self.warnings = []
        self._companions = checkpoint.companions()
        companions = sum(map(len, self._companions.values()))
        self.needed_bytes = safetensors_bytes(self._stored()) + companions + _CONFIG_BYTES

    @override
    def write(self, path: Path, progress: Progress) -> None:
        with SafetensorsWriter(path / "model.safetensors", self._stored()) as writer:
            for tensor in self._planned:
                tensor.write(writer)
                progress.advance(tensor.source_bytes)
        for name, content in self._companions.items():
            write_synced(path / name, content)
        config = huggingface_config(self._checkpoint, self._dtype)
        if self._quantization is not None:
            config["quantization_config"] = self._quantization
        write_synced(path / "config.json", json_text(config) + "\n")

    def _stored(self) -> dict[str, TensorEntry]:
        return {name: entry for tensor in self._planned for name, entry in tensor.stored().items()}


def huggingface_config(checkpoint: Checkpoint, dtype: str) -> dict[str, Any]:
    """config.json of the source, without its storage, with ``dtype`` for the floats.

    The first BitNet reproduction's architecture, which ``transformers`` has under another name,
    gets that name, and the defaults that differ are written out.
    """
    dropped = ("quantization_config", "source_quantization_config", "weight_bits", "input_bits",
               "dtype", "torch_dtype", "auto_map")
    config = {name: value for name, value in checkpoint.raw_config.items() if name not in dropped}
    config["torch_dtype"] = _TORCH_DTYPES[dtype]
    if checkpoint.config.family == "bitnet":
        config |= _bitnet_config(checkpoint.config)
        if "rope_parameters" not in config:
            config["rope_theta"] = checkpoint.config.rope_theta
    return config


def _bitnet_config(config: ModelConfig) -> dict[str, Any]:
    return {
        "architectures": ["BitNetForCausalLM"], "model_type": "bitnet",
        "hidden_act": config.activation, "rms_norm_eps": config.rms_norm_eps,
        "num_key_value_heads": config.num_kv_heads, "head_dim": config.head_dim,
        "attention_bias": config.qkv_bias,
    }


def _choose(checkpoint: Checkpoint) -> str:
    """The type that holds the codes of every linear, or floats."""
    if checkpoint.config.family in FUSED:
        return "float32"
    names = checkpoint.config.linear_weights()
    if all(isinstance(checkpoint.format(name), Ternary) for name in names):
        return "bitnet"
    packed = all(weight_bits(checkpoint.stored_format(name)) for name in names)
    return "compressed" if packed else "float32"


def _floats(checkpoint: Checkpoint, dtype: str) -> list[HuggingFaceTensor]:
    fused = FUSED.get(checkpoint.config.family, {})
    starts = {names[0]: stored for stored, names in fused.items()}
    inner = {name for names in fused.values() for name in names[1:]}
    tensors: list[HuggingFaceTensor] = []
    for name in checkpoint.tensors:
        prefix, short = _short_name(name)
        if short in starts:
            names = [f"{prefix}{part}.weight" for part in fused[starts[short]]]
            stored = f"{prefix}{starts[short]}.weight"
            tensors.append(JoinedTensor(checkpoint, stored, names, dtype))
        elif short not in inner:
            tensors.append(FloatTensor(checkpoint, name, dtype))
    return tensors


def _short_name(name: str) -> tuple[str, str]:
    """"model.layers.3." and the rest of a layer's weight; nothing and the whole of others."""
    if not name.startswith("model.layers."):
        return "", name
    _, _, layer, *rest = name.split(".")
    return f"model.layers.{layer}.", ".".join(rest).removesuffix(".weight")


def _bitnet(checkpoint: Checkpoint) -> list[HuggingFaceTensor]:
    linear = set(checkpoint.config.linear_weights())
    for name in checkpoint.config.linear_weights():
        form = checkpoint.format(name)
        if not isinstance(form, Ternary):
            held = "floats" if form is None else form.name
            raise FormatError(
                f"{checkpoint.folder}: {name} is in {held}; packed BitNet holds ternary weights "
                "with one scale: quantize with --format ternary first, or choose another --type"
            )
    return [
        BitnetTensor(checkpoint, name) if name in linear else FloatTensor(checkpoint, name, "F32")
        for name in checkpoint.tensors
    ]


def _compressed(checkpoint: Checkpoint) -> list[HuggingFaceTensor]:
    """Linears with integer codes as they are; the rest (embedding and head too) as float32."""
    linear = set(checkpoint.config.linear_weights())
    forms = {name: checkpoint.stored_format(name) for name in linear}
    held = {name: form for name, form in forms.items()
            if form is not None and weight_bits(form)}
    if not held:
        raise FormatError(
            f"{checkpoint.folder} has no weight with integer codes, as compressed-tensors holds "
            "them: quantize with --format int4, int8 or the like first, or choose another --type"
        )
    return [
        CompressedTensor(checkpoint, name, held[name]) if name in held
        else FloatTensor(checkpoint, name, "F32")
        for name in checkpoint.tensors
    ]


def _compressed_config(tensors: list[HuggingFaceTensor]) -> dict[str, Any]:
    """A group for each format, by the names of its modules; every other linear is ignored."""
    groups: dict[str, dict[str, Any]] = {}
    ignored = ["lm_head"]
    for tensor in tensors:
        module = tensor.name.removesuffix(".weight")
        if isinstance(tensor, CompressedTensor):
            group = groups.setdefault(str(tensor.form), _group(tensor))
            group["targets"].append(module)
        elif module.endswith("_proj"):
            ignored.append(module)
    return {
        "quant_method": "compressed-tensors", "format": "pack-quantized",
        "quantization_status": "compressed", "ignore": ignored, "kv_cache_scheme": None,
        "config_groups": {f"group_{i}": group for i, group in enumerate(groups.values())},
    }


def _group(tensor: CompressedTensor) -> dict[str, Any]:
    size = getattr(tensor.form, "group_size", None)
    return {
        "targets": [], "input_activations": None, "output_activations": None,
        "weights": {
            "num_bits": tensor.bits, "type": "int", "symmetric": tensor.symmetric,
            "strategy": "group" if size else "channel", "group_size": size, "dynamic": False,
        },
    }


EXPORTER = HuggingFace()
