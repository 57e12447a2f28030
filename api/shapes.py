"""The shape of a model that is estimated: a published one by name, or that of a checkpoint."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import EstimateError
from ..quant.checkpoint import Checkpoint, open_checkpoint
from ..quant.formats import Int4
from ..sim.descriptions.shapes import ModelShape, load_shape, shape_names
from ..sim.processors.stored_format import StoredFormat, format_names, stored_format

__all__ = ["Model", "Shapes", "find_shapes", "find_stored"]

Model = str | Path | ModelShape   # a shape's name, a checkpoint, a .toml file, or a shape itself


@dataclass(frozen=True)
class Shapes:
    """The shapes that were asked for, and what one should know of them."""

    shapes: tuple[ModelShape, ...]
    warnings: tuple[str, ...]


def find_shapes(models: Iterable[Model]) -> Shapes:
    """The shape of each model.

    Raises
    ------
    CheckpointError
        There is neither such a shape nor such a checkpoint, or the checkpoint is damaged.
    EstimateError
        The file of a shape is wrong, or a checkpoint has a format that is not ternary.
    """
    warnings: list[str] = []
    return Shapes(tuple(_find(model, warnings) for model in models), tuple(warnings))


def find_stored(model: Model, name: str | None) -> tuple[ModelShape, StoredFormat]:
    """The shape of a model, and the format that it is stored in: ``name``, or the checkpoint's.

    Raises
    ------
    CheckpointError
        There is neither such a shape nor such a checkpoint, or the checkpoint is damaged.
    EstimateError
        The file of a shape is wrong, there is no such format, or nothing says which it is.
    """
    given = None if name is None else stored_format(name)
    if isinstance(model, ModelShape) or _is_described(str(model)):
        shape, kept = _described(model), None
    else:
        with open_checkpoint(str(model)) as checkpoint:
            kept = (checkpoint.quantization or {}).get("format")
            shape = ModelShape(Path(str(model)).name, str(checkpoint.folder), checkpoint.config)
    if given is None and kept is None and shape.config.bitlinear:
        kept = "ternary"
    if given is None and kept not in format_names():
        how = "Nothing says in which format" if kept is None else f"{kept} is no format of which"
        end = f"{shape.name} is stored" if kept is None else "the bytes are known here"
        raise EstimateError(f"{how} {end}; give --format, one of {', '.join(format_names())}")
    return shape, given or stored_format(str(kept))


def _is_described(name: str) -> bool:
    return name in shape_names() or name.endswith(".toml")


def _described(model: Model) -> ModelShape:
    return model if isinstance(model, ModelShape) else load_shape(str(model))


def _find(model: Model, warnings: list[str]) -> ModelShape:
    name = model.name if isinstance(model, ModelShape) else str(model)
    if isinstance(model, ModelShape) or _is_described(name):
        shape = _described(model)
        if not shape.config.bitlinear:
            warnings.append(f"{name} is not ternary; it is estimated as if it were.")
        return shape
    with open_checkpoint(name) as checkpoint:
        quantized = (checkpoint.quantization or {}).get("format")
        if quantized not in (None, "ternary"):
            raise EstimateError(
                f"{name} is {quantized}, and the accelerator multiplies ternary weights; "
                "quantize the model with --format ternary"
            )
        if quantized is None and not checkpoint.config.bitlinear:
            warnings.append(f"{name} is not ternary; it is estimated as if it were.")
        return ModelShape(Path(name).name, str(checkpoint.folder), checkpoint.config,
                          _vocabulary_bits(checkpoint))


def _vocabulary_bits(checkpoint: Checkpoint) -> tuple[int, int]:
    """Bits of embedding and head, as they are stored; 8 of float ones, which become int8."""
    embedding = "model.embed_tokens.weight"
    head = embedding if checkpoint.config.tie_word_embeddings else "lm_head.weight"
    forms = [checkpoint.format(name) for name in (embedding, head)]
    embedding_bits, head_bits = (4 if isinstance(form, Int4) else 8 for form in forms)
    return embedding_bits, head_bits
