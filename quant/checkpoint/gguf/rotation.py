"""Rotated weights in GGUF files: the metadata ``prism.hadamard.*`` of PrismML's Bonsai 2.

The keys are those that its llama.cpp reads (github.com/PrismML-Eng/llama.cpp, src/llama-model.cpp).
A file that names a rotation which would not be applied gives fluent nonsense, so whatever is not
understood is refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ....errors import CheckpointError
from ...formats.rotation import Rotation
from ..files.fields import printable, shown
from ..files.gguf_split import GgufModel

__all__ = ["rotations"]

_PREFIX = "prism.hadamard."
_FIXED = {
    "version": 1, "transform": "normalized-sylvester-walsh-hadamard",
    "axis": "input-last-dimension",
}
_KNOWN = {*_FIXED, "block_size", "sign_mode", "sign_widths", "sign_values", "weight_names",
          "inverse_weight_names"}
_LARGEST_BLOCK = 1 << 20


def rotations(file: GgufModel) -> dict[str, Rotation]:
    """The rotation of each rotated tensor, by the names of the file; empty if there is none.

    Raises ``CheckpointError`` if the metadata is damaged, names a tensor that is not there or does
    not fit, or says something that is not understood.
    """
    stated = {key.removeprefix(_PREFIX): value for key, value in file.metadata.items()
              if key.startswith(_PREFIX)}
    if not stated:
        return {}
    for key, value in stated.items():
        if key not in _KNOWN:
            raise _fault(file, key, value, "absent")
        if key in _FIXED and value != _FIXED[key]:
            raise _fault(file, key, value, str(_FIXED[key]))
    block = stated.get("block_size")
    if type(block) is not int or not 2 <= block <= _LARGEST_BLOCK or block & block - 1:
        raise _fault(file, "block_size", block, "a power of two")
    signs = _signs(file, stated)
    found: dict[str, Rotation] = {}
    for key in ("weight_names", "inverse_weight_names"):
        names = stated.get(key, [])
        if not isinstance(names, list):
            names = [] if isinstance(names, np.ndarray) and not len(names) else [names]
        for name in names:
            tensor = file.tensors.get(name) if isinstance(name, str) else None
            if tensor is None or len(tensor.shape) != 2 or tensor.shape[-1] % block:
                raise CheckpointError(
                    f"{file.path}: {_PREFIX}{key} names {shown(name)}, which is no matrix of the "
                    f"file with rows in blocks of {block}")
            width = tensor.shape[-1]
            if signs is not None and width not in signs:
                raise CheckpointError(f"{file.path}: {_PREFIX}sign_widths has no signs for the "
                                      f"rows of {width} of {printable(name)}")
            found[name] = Rotation(
                block, np.ones(width, np.float32) if signs is None else signs[width])
    return found


def _signs(file: GgufModel, stated: dict[str, Any]) -> dict[int, np.ndarray] | None:
    """Float32 signs by the width of rows; None where all are 1."""
    mode = stated.get("sign_mode")
    if mode == "identity":
        return None
    if mode != "explicit":
        raise _fault(file, "sign_mode", mode, "identity or explicit")
    widths, values = stated.get("sign_widths"), stated.get("sign_values")
    for key, array in (("sign_widths", widths), ("sign_values", values)):
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "iu":
            raise _fault(file, key, array, "an array of integers")
    assert isinstance(widths, np.ndarray) and isinstance(values, np.ndarray), "as was looked at"
    total = sum(int(width) for width in widths)
    if (widths <= 0).any() or total != len(values) or not np.isin(values, (-1, 1)).all():
        raise CheckpointError(
            f"{file.path}: {_PREFIX}sign_values must be 1 or -1, {total} of them as "
            f"{_PREFIX}sign_widths says, not {len(values)} numbers"
        )
    ends = np.cumsum(widths.astype(np.int64))
    return {int(width): values[end - int(width):end].astype(np.float32)
            for width, end in zip(widths, ends, strict=True)}


def _fault(file: GgufModel, key: str, value: object, right: str) -> CheckpointError:
    return CheckpointError(f"{file.path}: {_PREFIX}{key} is {shown(value)}; it must be {right}")
