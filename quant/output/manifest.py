"""What a quantization did: the record that lies beside the weights as ``manifest.json``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Self

from ...errors import CheckpointError
from ...tools.json_text import json_text

__all__ = ["CheckpointSource", "InputFile", "Manifest", "TensorRecord", "Totals"]


@dataclass(frozen=True)
class InputFile:
    """A file that was read: its size, and the SHA-256 of its bytes (None after a dry run)."""

    name: str
    bytes: int
    sha256: str | None


@dataclass(frozen=True)
class CheckpointSource:
    """The checkpoint: the name of its folder, and its files in alphabetical order."""

    name: str
    files: tuple[InputFile, ...]


@dataclass(frozen=True)
class TensorRecord:
    """What became of one tensor.

    Attributes
    ----------
    name, shape
        Canonical name; [M, K] of a matrix.
    stored_before
        How the source stored it: "F32", "F16", "BF16" or "ternary".
    format
        ``Format.spec()`` of its new format; None: kept as it was.
    bytes_before, bytes_after
        Stored size, scales and padding included.
    nmse, max_abs_error
        Sum of squared errors over sum of squared weights, and the largest error, both against
        the weight as the source model computes with it (six significant digits): for BitNet
        master weights that is their ternary rounding. None after a dry run.
    output_nmse
        Sum of squared errors over sum of squares of the linear's outputs, on the calibration text
        with all earlier matrices quantized. None where no calibration took place.
    """

    name: str
    shape: tuple[int, ...]
    stored_before: str
    format: dict[str, Any] | None
    bytes_before: int
    bytes_after: int
    nmse: float | None
    max_abs_error: float | None
    output_nmse: float | None


@dataclass(frozen=True)
class Totals:
    """Sums over the model.

    Attributes
    ----------
    weights, linear_weights
        Number of values in all tensors, and in the linear weights of the layers.
    bytes_before, bytes_after
        Stored sizes of all tensors.
    file_bytes
        Size of ``model.safetensors``, its header included.
    linear_bits_per_weight
        Stored bits per value of the linear weights, scales and padding included.
    bits_per_weight
        ``8 * file_bytes / weights``: everything in the file.
    """

    weights: int
    linear_weights: int
    bytes_before: int
    bytes_after: int
    file_bytes: int
    linear_bits_per_weight: float
    bits_per_weight: float


@dataclass(frozen=True)
class Manifest:
    """The whole record; its fields are the keys of ``manifest.json``, in this order.

    Attributes
    ----------
    trilobite_version
        Version of the toolkit that wrote the folder.
    libraries
        Versions of what computed the numbers: ``python`` and ``numpy``.
    source
        ``name``, ``files``: a list of ``name``, ``bytes``, ``sha256``. See ``CheckpointSource``.
    format
        ``Format.spec()`` of the linear weights: ``format`` and its parameters; only ``format``,
        "mixed", where each weight's was chosen to meet a target.
    method
        How the codes were chosen: "rtn" (each weight to its nearest) or one of ``quant.methods``.
    calibration
        The text that the method saw: ``source``, ``sha256`` of its token ids, how many
        ``sequences`` of what ``length``, ``seed``; None for "rtn".
    embedding
        "int8" or "keep": what the embedding and an untied head became, but for ``tensor_formats``.
    tensor_formats
        The rules ``RE=FORMAT`` for single tensors, in the order in which they were applied.
    target_bits_per_weight
        The target that the formats were chosen to meet, or None.
    tensors
        One object per tensor, in the order of the model. See ``TensorRecord``.
    totals
        See ``Totals``.
    warnings
        Sentences that a user must see.

    The same input, options and versions give the same bytes: there is no time and no path in it.
    """

    trilobite_version: str
    libraries: dict[str, str]
    source: CheckpointSource
    format: dict[str, Any]
    method: str
    calibration: dict[str, Any] | None
    embedding: str
    tensor_formats: tuple[str, ...]
    target_bits_per_weight: float | None
    tensors: tuple[TensorRecord, ...]
    totals: Totals
    warnings: tuple[str, ...]

    def to_json(self) -> str:
        """The text of ``manifest.json``."""
        return json_text(asdict(self)) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Inverse of ``to_json``; raises ``CheckpointError`` if ``text`` is not a manifest."""
        try:
            fields = json.loads(text)
            source = fields["source"]
            files = tuple(InputFile(**file) for file in source["files"])
            fields["source"] = CheckpointSource(source["name"], files)
            fields["tensors"] = tuple(
                TensorRecord(**{**record, "shape": tuple(record["shape"])})
                for record in fields["tensors"]
            )
            fields["totals"] = Totals(**fields["totals"])
            for key in ("tensor_formats", "warnings"):
                fields[key] = tuple(fields[key])
            return cls(**fields)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise CheckpointError(f"This is not a manifest of Trilobite: {error}") from None
