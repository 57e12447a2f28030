"""The layers' linear weights, columns of gate and up scaled by the weights alone, then rounded."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...errors import TrilobiteError
from ...model import LINEAR_STAGES
from ...tools.progress import Progress
from ..checkpoint import Checkpoint
from ..methods.cas import STAGE, STRENGTHS, chosen, equal_columns
from ..output.manifest import TensorRecord
from ..plan.plan import PlannedTensor
from ..rounding.weight_blocks import WeightBlocks
from .convert import report_restored, write_gain, write_tensor
from .folding import fold_gain, norm_before
from .journal import ResumableWriter

__all__ = ["write_scaled_layers"]


def write_scaled_layers(
    checkpoint: Checkpoint, planned: Mapping[str, PlannedTensor], writer: ResumableWriter,
    progress: Progress,
) -> dict[str, TensorRecord]:
    """Scale (``methods.cas``), round and write the linear weights, of all tensors ``planned``.

    The records of what was written, by name: also the norms whose gains took up scales. Blocks of
    rows pass through. A layer of which gate or up has no format is not scaled, nor are experts.
    """
    records: dict[str, TensorRecord] = {}
    for index in range(checkpoint.config.num_layers):
        layer = _Layer(checkpoint, planned, index, writer, progress)
        layer.scale()
        layer.write()
        records |= layer.records
    return records


class _Layer:
    """One layer's linear weights, with the scales of their columns."""

    def __init__(
        self, checkpoint: Checkpoint, planned: Mapping[str, PlannedTensor], index: int,
        writer: ResumableWriter, progress: Progress,
    ) -> None:
        self.records: dict[str, TensorRecord] = {}
        self._checkpoint, self._planned = checkpoint, planned
        self._prefix = f"model.layers.{index}."
        self._names = checkpoint.config.linears(index)
        self._writer, self._progress = writer, progress
        self._columns: dict[str, np.ndarray] = {}

    def scale(self) -> None:
        """Choose the scales of columns, and write the norm that takes them up."""
        names = LINEAR_STAGES[STAGE]
        if not set(names) <= set(self._names) or any(
            self._tensor(name).format is None for name in names
        ):
            return
        norm = norm_before(self._checkpoint.config, STAGE)
        if norm is None:
            raise TrilobiteError(
                f"{self._checkpoint.folder}: the method cas scales columns of gate and up in the "
                f"norm that they read, and this {self._checkpoint.config.family} has none there; "
                "choose another method"
            )
        tensor = self._tensor(norm)
        stored = tensor.stored()[tensor.name]
        weight, offset = self._checkpoint.read(tensor.name), self._checkpoint.config.gain_offset
        equal = equal_columns(map(self._magnitudes, names))
        choices = [fold_gain(weight, equal ** np.float32(one), stored, offset) for one in STRENGTHS]
        power = np.square(weight + np.float32(offset), dtype=np.float64)
        errors = [sum(self._error(name, scales, power) for name in names) for _, scales in choices]
        folded, scales = choices[chosen(errors)]
        self.records[tensor.name] = write_gain(tensor, folded, self._writer, self._progress)
        self._columns |= dict.fromkeys(names, scales)

    def write(self) -> None:
        """Round and write the linears, but for those that an earlier run has."""
        for name in self._names:
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

    def _error(self, name: str, scales: np.ndarray, power: np.ndarray) -> float:
        """Squared error of a weight's outputs for inputs of ``power`` [K], its columns scaled."""
        tensor = self._tensor(name)
        blocks = WeightBlocks(self._checkpoint, tensor.name, scales)
        form = tensor.coded_format
        statistics = form.statistics(blocks.float32())
        total = 0.0
        for rows in blocks.float32():
            codes = form.encode(rows, statistics)
            error = (form.dequantize(codes) - rows) / scales
            total += float(np.square(error, dtype=np.float64).sum(axis=0) @ power)
        return total

    def _magnitudes(self, name: str) -> np.ndarray:
        """Sums of magnitudes [K] over the rows of a weight."""
        blocks = WeightBlocks(self._checkpoint, self._tensor(name).name).float32()
        return np.sum([np.abs(rows).sum(axis=0, dtype=np.float64) for rows in blocks], axis=0)

    def _tensor(self, name: str) -> PlannedTensor:
        return self._planned[f"{self._prefix}{name}.weight"]
