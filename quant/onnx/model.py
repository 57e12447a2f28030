"""An ONNX model of a stranger, opened: its graph in memory, its weights where they are."""

from __future__ import annotations

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import ModelProto

from ...errors import CheckpointError
from .payload import Payloads
from .structure import STANDARD_DOMAINS, check_structure, tensors_of
from .wire import read_skeleton

__all__ = ["OnnxModel", "open_onnx"]


class OnnxModel:
    """A checked model.

    Attributes
    ----------
    path
        Its file.
    proto
        The model; the bytes of large tensors are not in it (see ``wire``).
    payloads
        Finds and reads them.
    """

    def __init__(self, path: Path, proto: ModelProto, payloads: Payloads) -> None:
        self.path = path
        self.proto = proto
        self.payloads = payloads

    @property
    def opset(self) -> int:
        """Version of ONNX's own operators."""
        return next(
            entry.version for entry in self.proto.opset_import if entry.domain in STANDARD_DOMAINS
        )

    def files(self) -> list[Path]:
        """The model's file, and those with external data."""
        return self.payloads.files(list(tensors_of(self.proto)))


def open_onnx(path: str | Path) -> OnnxModel:
    """Open an ONNX model and check all of it but its weights' values.

    Nothing in the file is trusted: sizes are compared before memory is taken, external data must
    lie in the model's folder, names must be defined before they are used, functions must not
    recur. Nothing is executed.

    Raises
    ------
    CheckpointError
        The file cannot be read, is no model, is damaged or contradictory; names the tensor or
        node.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path} is no file; an ONNX model is one")
    skeleton = read_skeleton(path)
    proto = ModelProto()
    try:
        proto.ParseFromString(skeleton.data)
    except DecodeError as error:
        raise CheckpointError(f"{path} is no ONNX model: {error}") from None
    check_structure(proto, str(path), onnx.IR_VERSION)
    payloads = Payloads(path, skeleton.payloads)
    payloads.check_shares(tensors_of(proto))
    return OnnxModel(path, proto, payloads)
