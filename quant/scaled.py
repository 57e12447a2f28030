"""The layers' linear weights, columns of gate and up scaled by the weights alone, then rounded."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..model import LINEAR_NAMES, LINEAR_STAGES
from .checkpoint import Checkpoint
from .convert import Progress, report_restored, write_gain, write_tensor
from .folding import fold_gain, norm_before
from .journal import ResumableWriter
from .manifest import TensorRecord
from .methods.cas import STAGE, equal_columns
from .plan import PlannedTensor
from .weight_blocks import WeightBlocks

__all__ = ["write_scaled_layers"]


def write_scaled_layers(
    checkpoint: Checkpoint, planned: Mapping[str, PlannedTensor], writer: ResumableWriter,
    progress: Progress,
) -> dict[str, TensorRecord]:
    """Scale (``methods.cas``), round and write the linear weights, of all tensors ``planned``.

    The records of what was written, by name: also the norms whose gains took up scales. Blocks of
    rows pass through. A layer of which gate or up has no format is not scaled.
    """
    records: dict[str, TensorRecord] = {}
    for index in range(checkpoint.config.num_layers):
        layer = _Layer(checkpoint, planned, f"model.layers.{index}.", writer, progress)
        layer.scale()
        layer.write()
        records |= layer.records
    return records


class _Layer:
    """One layer's linear weights, with the scales of their columns."""

    def __init__(
        self, checkpoint: Checkpoint, planned: Mapping[str, PlannedTensor], prefix: str,
        writer: ResumableWriter, progress: Progress,
    ) -> None:
        self.records: dict[str, TensorRecord] = {}
        self._checkpoint, self._planned, self._prefix = checkpoint, planned, prefix
        self._writer, self._progress = writer, progress
        self._columns: dict[str, np.ndarray] = {}

    def scale(self) -> None:
        """Choose the scales of columns, and write the norm that takes them up."""
        names = LINEAR_STAGES[STAGE]
        if any(self._tensor(name).format is None for name in names):
            return
        tensor = self._tensor(norm_before(self._checkpoint.config, STAGE))
        scales = equal_columns(map(self._magnitudes, names))
        stored = tensor.stored()[tensor.name]
        gain, scales = fold_gain(self._checkpoint.read(tensor.name), scales, stored)
        self.records[tensor.name] = write_gain(tensor, gain, self._writer, self._progress)
        self._columns |= dict.fromkeys(names, scales)

    def write(self) -> None:
        """Round and write the linears, but for those that an earlier run has."""
        for name in LINEAR_NAMES:
            tensor = self._tensor(name)
            record = self._writer.restored.get(tensor.name)
            if record is None:
                blocks = WeightBlocks(self._checkpoint, tensor.name, self._columns.get(name))
                record = write_tensor(self._checkpoint, tensor, self._writer, self._progress,
                                      blocks)
                self._writer.finish(tensor, record)
            else:
                report_restored(tensor, record, self._progress)
            self.records[tensor.name] = record

    def _magnitudes(self, name: str) -> np.ndarray:
        """Sums of magnitudes [K] over the rows of a weight."""
        blocks = WeightBlocks(self._checkpoint, self._tensor(name).name).float32()
        return np.sum([np.abs(rows).sum(axis=0, dtype=np.float64) for rows in blocks], axis=0)

    def _tensor(self, name: str) -> PlannedTensor:
        return self._planned[f"{self._prefix}{name}.weight"]
