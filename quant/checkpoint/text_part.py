"""Models that see: their language model is read as a model of its own, the rest is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...errors import CheckpointError
from .architectures import ARCHITECTURES
from .files.fields import Fields, shown

__all__ = ["text_part"]

# Classes whose text_config describes a language model that is read.
_WRAPPERS = ("Gemma3ForConditionalGeneration", "Mistral3ForConditionalGeneration")
_TENSORS = ("vision_tower.", "multi_modal_projector.")
# What wrappers say about images; everything else is the language model's.
_OF_IMAGES = (
    "architectures", "boi_token_index", "eoi_token_index", "image_seq_length", "image_token_id",
    "image_token_index", "mm_tokens_per_image", "model_type", "multimodal_projector_bias",
    "projector_hidden_act", "spatial_merge_size", "text_config", "vision_config",
    "vision_feature_layer", "boi_token_id", "eoi_token_id",
)


def text_part(raw: dict[str, Any], path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """config.json of the language model alone, and what names of tensors begin with that it lacks.

    A config that describes nothing else comes back as it is. Raises ``CheckpointError`` if the text
    part is missing or is of no model that is read.
    """
    names = raw.get("architectures")
    if not isinstance(names, list) or len(names) != 1 or names[0] not in _WRAPPERS:
        return raw, ()
    Fields(raw, str(path)).fields("text_config")
    inner = raw["text_config"]
    known = {row.model_types[0]: name for name, row in ARCHITECTURES.items()}
    if inner.get("model_type") not in known:
        raise CheckpointError(
            f'{path}: in "text_config", "model_type" is {shown(inner.get("model_type"))}; known '
            f"are {', '.join(known)}"
        )
    outer = {name: value for name, value in raw.items() if name not in _OF_IMAGES}
    stated = {name: value for name, value in inner.items() if value is not None}
    return (
        outer | stated | {"architectures": [known[inner["model_type"]]]},
        (*_TENSORS, *(f"model.{name}" for name in _TENSORS)),
    )
