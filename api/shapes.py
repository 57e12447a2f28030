"""The shape of a model that is estimated: a published one by name, or that of a checkpoint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import EstimateError
from ..model import ModelConfig, refuse_experts
from ..quant.checkpoint import Checkpoint, open_checkpoint
from ..quant.checkpoint.files.fields import read_json
from ..quant.checkpoint.files.locate import is_gguf
from ..quant.formats import Int4
from ..sim.descriptions.shapes import ModelShape, config_of, load_shape, shape_names
from ..sim.processors.stored_format import StoredFormat, format_names, stored_format

__all__ = ["Model", "Shapes", "find_shapes", "find_stored"]

# Peculiarities of a model's layers that estimates of accelerators count.
_ON_ACCELERATORS = ("qk_norm", "windows", "window_rope", "rope_linear", "rope_llama3",
                    "rope_dynamic", "rope_yarn", "rope_longrope")

Model = str | Path | ModelShape   # a shape's name, a checkpoint, a .toml or .json file, or a shape


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
    if (described := _described(model)) is not None:
        shape, kept = described, None
    else:
        with open_checkpoint(str(model)) as checkpoint:
            kept = (checkpoint.quantization or {}).get("format") or _gguf_format(checkpoint)
            shape = ModelShape(Path(str(model)).name, str(checkpoint.folder), checkpoint.config)
    refuse_experts(shape.config, shape.name, "an estimate")
    if given is None and kept is None and shape.config.bitlinear:
        kept = "ternary"
    if given is None and kept not in format_names():
        how = "Nothing says in which format" if kept is None else f"{kept} is no format of which"
        end = f"{shape.name} is stored" if kept is None else "the bytes are known here"
        raise EstimateError(f"{how} {end}; give --format, one of {', '.join(format_names())}")
    return shape, given or stored_format(str(kept))


def _gguf_format(checkpoint: Checkpoint) -> str | None:
    """The format of a GGUF file, by the type of most bytes of its layers' matrices; None: no GGUF.

    A file whose main type is a k-quant is named after its mixture, as ``llama-quantize`` does.
    """
    if not is_gguf(checkpoint.folder):
        return None
    sizes = Counter[str]()
    for tensor, info in checkpoint.tensors.items():
        if ".layers." in tensor and len(info.shape) > 1:
            sizes[info.dtype.lower()] += info.nbytes
    kind = sizes.most_common(1)[0][0]
    return f"{kind}_m" if f"{kind}_m" in format_names() else kind


def _described(model: Model) -> ModelShape | None:
    """A shape that is given, bundled, or read from a .toml file or a config.json; None: others.

    A folder that has a config.json and no weights is read as that.
    """
    if isinstance(model, ModelShape):
        return model
    name = str(model)
    if name in shape_names() or name.endswith(".toml"):
        return load_shape(name)
    path = Path(name)
    if path.is_dir() and not any(path.glob("*.safetensors*")):
        path = path / "config.json"
    if path.suffix != ".json" or not path.is_file():
        return None
    return ModelShape(path.resolve().parent.name if path.name == "config.json" else path.stem,
                      str(path), config_of(read_json(path), str(path)))


def _find(model: Model, warnings: list[str]) -> ModelShape:
    name = model.name if isinstance(model, ModelShape) else str(model)
    if (shape := _described(model)) is not None:
        if shape.experts is not None:
            raise EstimateError(f"{name} is a mixture of experts, which no accelerator that is "
                                "described here runs; processors of a SoC are estimated with it")
        _refuse_peculiar(shape.config, name)
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
        _refuse_peculiar(checkpoint.config, name)
        return ModelShape(Path(name).name, str(checkpoint.folder), checkpoint.config,
                          _vocabulary_bits(checkpoint))


def _refuse_peculiar(config: ModelConfig, name: str) -> None:
    """Refuse a model of whose layers an accelerator has no description."""
    refuse_experts(config, name, "an estimate")
    if (what := config.refusal(_ON_ACCELERATORS)) is not None:
        raise EstimateError(f"{name} has {what}, which no accelerator that is described here has; "
                            "processors of a SoC are estimated with it")


def _vocabulary_bits(checkpoint: Checkpoint) -> tuple[int, int]:
    """Bits of embedding and head, as they are stored; 8 of float ones, which become int8."""
    embedding = "model.embed_tokens.weight"
    head = embedding if checkpoint.config.tie_word_embeddings else "lm_head.weight"
    forms = [checkpoint.format(name) for name in (embedding, head)]
    embedding_bits, head_bits = (4 if isinstance(form, Int4) else 8 for form in forms)
    return embedding_bits, head_bits
