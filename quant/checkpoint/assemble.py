"""Which stored tensors make up which tensor of the model; none may be missing or left over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ...errors import CheckpointError, FormatError
from ...model import ModelConfig
from .bitnet import PackedTrits
from .expert_tensors import (
    TransposedTensor,
    expert_entries,
    expert_name,
    is_transposed,
    mxfp4_formats,
)
from .files.fields import printable
from .files.locate import StoredEntry
from .files.source import PlainTensor, TensorSource
from .fused import fused_sources
from .quantization import Quantization
from .quantized import QuantizedTensor

__all__ = ["assemble_tensors"]

# Norms of the first BitNet reproduction, under the names that transformers gave them later.
_RENAMED = {
    "self_attn.inner_attn_ln.weight": "self_attn.attn_sub_norm.weight",
    "mlp.ffn_layernorm.weight": "mlp.ffn_sub_norm.weight",
}
# What wrappers put before the names: torch.compile, and models that see or hear besides.
_PREFIXES = (
    ("_orig_mod.", ""), ("model.language_model.", "model."), ("language_model.model.", "model."),
    ("language_model.lm_head.", "lm_head."),
)
# Old versions of transformers stored it; it follows from the config.
_DERIVED = ".rotary_emb.inv_freq"
# Scales with which other tools quantize activations, and what attention keeps and gives.
_SCALES_OF_OTHERS = (".k_scale", ".v_scale", ".q_scale", ".prob_scale", ".output_scale")
_EMBEDDING = "model.embed_tokens.weight"
_HEAD = "lm_head.weight"


def assemble_tensors(
    folder: Path, config: ModelConfig, quantization: Quantization, stored: dict[str, StoredEntry]
) -> dict[str, TensorSource]:
    """One checked source for each of ``config.tensor_shapes()``, in that order.

    A copy of the embedding under the name of a tied head is tolerated if it is the same.

    Raises
    ------
    CheckpointError
        A tensor is missing, unexpected, or has another shape or type than it must have.
    """
    entries = expert_entries(config, _canonical(stored))
    if quantization.mxfp4_experts:
        quantization = replace(quantization, formats=mxfp4_formats(config))
    shapes = config.tensor_shapes()
    ternary = set(config.linear_weights()) if config.bitlinear else set()
    packed = ternary if quantization.packed_trits else set()
    _check_formats(folder, shapes, quantization)
    parts = {name: _parts(name, shapes[name], quantization, packed) for name in shapes}
    foreign = _foreign(config, quantization, entries)
    parts |= foreign
    fused, taken = fused_sources(config, entries)
    parts = {name: held for name, held in parts.items() if name not in fused}
    head = entries.pop(_HEAD, None) if config.tie_word_embeddings else None
    needed = [part for held in parts.values() for part in held.values()]
    entries = _without_zero_biases(config, entries)
    _check_complete(folder, config, needed + taken, entries)
    sources: dict[str, TensorSource] = {}
    for name, shape in shapes.items():
        if name in fused:
            sources[name] = fused[name]
            continue
        held = {suffix: entries[part] for suffix, part in parts[name].items()}
        if name in quantization.formats:
            sources[name] = QuantizedTensor(name, shape, quantization.formats[name], held)
        elif name in foreign:
            assert quantization.scheme is not None, "``_foreign`` found it by the scheme"
            sources[name] = quantization.scheme.source(name, shape, held)
        elif is_transposed(config, quantization, name):
            sources[name] = TransposedTensor(name, (shape[0], shape[1]), held["weight"])
        elif name in packed:
            divides = quantization.scale_divides
            sources[name] = PackedTrits(name, shape, held["weight"], held["scale"], divides)
        else:
            sources[name] = PlainTensor(name, shape, held["weight"], ternary=name in ternary)
    if head is not None:
        _check_tied(PlainTensor(_HEAD, shapes[_EMBEDDING], head), sources[_EMBEDDING])
    return sources


def _canonical(stored: dict[str, StoredEntry]) -> dict[str, StoredEntry]:
    """Stored tensors by canonical name, without those that the model's numbers do not need."""
    entries: dict[str, StoredEntry] = {}
    for name, entry in stored.items():
        if name.endswith((_DERIVED, *_SCALES_OF_OTHERS)):
            continue
        canonical = name
        for prefix, instead in _PREFIXES:
            if canonical.startswith(prefix):
                canonical = instead + canonical.removeprefix(prefix)
        for old, new in _RENAMED.items():
            if canonical.endswith(f".{old}"):
                canonical = canonical.removesuffix(old) + new
        canonical = expert_name(canonical)
        if canonical in entries:
            raise CheckpointError(f"{entry} is the same tensor as {entries[canonical]}; drop one")
        entries[canonical] = entry
    return entries


def _without_zero_biases(
    config: ModelConfig, entries: dict[str, StoredEntry]
) -> dict[str, StoredEntry]:
    """``entries`` without biases of linears that have none: some packers write zeros for them.

    Raises ``CheckpointError`` if one is not zero.
    """
    shapes = config.tensor_shapes()
    extra = {
        name: weight for weight in config.linear_weights()
        if (name := weight.removesuffix("weight") + "bias") in entries and name not in shapes
    }
    for name, weight in extra.items():
        bias = PlainTensor(name, shapes[weight][:1], entries[name])
        if bias.read().any():
            raise CheckpointError(
                f"{entries[name]} is not zero, and the {config.family} model that config.json "
                "describes has no such bias; it would be lost"
            )
    return {name: entry for name, entry in entries.items() if name not in extra}


def _foreign(
    config: ModelConfig, quantization: Quantization, entries: dict[str, StoredEntry]
) -> dict[str, dict[str, str]]:
    """The stored names of each matrix that another tool packed, by role."""
    if quantization.scheme is None:
        return {}
    names = config.linear_weights() + ([] if config.tie_word_embeddings else [_HEAD])
    found = {name: quantization.scheme.parts(name, entries) for name in names}
    return {name: parts for name, parts in found.items() if parts}


def _parts(
    name: str, shape: tuple[int, ...], quantization: Quantization, packed: set[str]
) -> dict[str, str]:
    """The stored names that make up tensor ``name``, by role."""
    if name in quantization.formats:
        layout = quantization.formats[name].layout((shape[0], shape[1]))
        return {suffix: f"{name}_{suffix}" for suffix in layout}
    if name in packed:
        return {"weight": name, "scale": f"{name}_scale"}
    return {"weight": name}


def _check_formats(
    folder: Path, shapes: dict[str, tuple[int, ...]], quantization: Quantization
) -> None:
    """Every packed weight is a matrix of the model, and its format can hold it."""
    path = folder / "config.json"
    for name, form in quantization.formats.items():
        if len(shapes.get(name, ())) != 2:
            raise CheckpointError(
                f'{path}: "quantization_config" gives a format to {printable(name)}, which is no '
                "matrix of this model"
            )
        try:
            form.check(name, shapes[name])
        except FormatError as error:
            raise CheckpointError(f'{path}: in "quantization_config", {error}') from None


def _check_complete(
    folder: Path, config: ModelConfig, needed: list[str], entries: dict[str, StoredEntry]
) -> None:
    missing = [name for name in needed if name not in entries]
    if missing:
        raise CheckpointError(
            f"{folder}: {_some(missing)} is in no file, but config.json calls for it"
            f"{_reason(missing[0], config)}"
        )
    unexpected = sorted(set(entries) - set(needed))
    if unexpected:
        raise CheckpointError(
            f"{entries[unexpected[0]].file.path}: {_some(unexpected)} is no part of a "
            f"{config.family} model as config.json describes it"
        )


def _some(names: list[str]) -> str:
    """The first of some names, and how many more there are."""
    more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
    return f"the tensor {printable(names[0])}{more}"


def _reason(name: str, config: ModelConfig) -> str:
    """Which field of the config may be wrong if a tensor is missing."""
    if name == _HEAD:
        return ' ("tie_word_embeddings" is false)'
    if name.endswith(".bias"):
        return ' ("mlp_bias" is true)' if ".mlp." in name else ' ("attention_bias" is true)'
    if name.startswith("model.layers."):
        return f' ("num_hidden_layers" is {config.num_layers})'
    return ""


def _check_tied(head: PlainTensor, embedding: TensorSource) -> None:
    """A stored head beside tied embeddings must be the embedding, else one of the two is wrong."""
    for start, stop in head.blocks():
        if not np.array_equal(head.rows(start, stop), embedding.rows(start, stop)):
            raise CheckpointError(
                f"{head.info.file}: {_HEAD} differs from {_EMBEDDING}, but config.json ties them; "
                '"tie_word_embeddings" must be false, or the head be removed'
            )
