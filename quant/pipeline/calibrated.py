"""The layers' linear weights, quantized in the order of a forward pass, each for its own inputs."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...errors import FormatError
from ...model import LINEAR_STAGES
from ...tools.progress import Progress
from ..checkpoint import Checkpoint
from ..formats import PackedWeight
from ..methods import CalibrationSource, LayerwiseRun, Method
from ..methods.awq import column_scales
from ..methods.calibration import corrected, hessian, moments_and_drift, relative_output_error
from ..output.manifest import TensorRecord
from ..plan.plan import PlannedTensor
from ..rounding.weight_blocks import WeightBlocks
from .convert import report_restored, write_codes, write_gain, write_tensor
from .folding import fold_gain, norm_before, rows_before, share_heads, spread_heads
from .journal import ResumableWriter

__all__ = ["LayersWritten", "write_layers"]


def write_layers(
    checkpoint: Checkpoint, planned: Mapping[str, PlannedTensor], method: Method,
    calibration: CalibrationSource, writer: ResumableWriter, progress: Progress,
) -> LayersWritten:
    """Quantize and write the layers' linear weights, of all tensors ``planned`` by name.

    Each weight sees the inputs that the quantized matrices before it give, as in the finished
    model; a method that corrects inputs also those of the model itself.
    What ``method`` does not make is rounded; a weight without a format is kept. Only
    one weight and one layer's weights are in memory at a time, besides what the runs keep of the
    text. What ``writer`` has restored is read back instead of quantized again.
    """
    run = calibration.start(checkpoint.config, checkpoint.weight)
    exact = None
    if method.corrects_inputs:
        exact = calibration.start(checkpoint.config, checkpoint.weight)
    records: dict[str, TensorRecord] = {}
    for index in range(checkpoint.config.num_layers):
        layer = _Layer(checkpoint, planned, method, run, exact, index, writer, progress)
        runs = [run] if exact is None else [run, exact]
        for one in runs:
            one.begin(index)
        for stage in range(len(layer.stages)):
            layer.write_stage(stage)
        for one in runs:
            one.end()
        records |= layer.records
    return LayersWritten(records, run.tokens_per_expert)


@dataclass(frozen=True)
class LayersWritten:
    """The ``records`` of what was written, by name, and how many tokens each expert got, by layer.

    The records are those of linears and, for a method that scales columns, of the norms whose gains
    took up scales.
    """

    records: dict[str, TensorRecord]
    tokens_per_expert: dict[int, list[int]]


def _kind(stage: int) -> int:
    """The stage of ``LINEAR_STAGES`` that a stage, or one of an expert, is like."""
    return stage if stage < len(LINEAR_STAGES) else 2 + stage % 2


class _Layer:
    """One layer's linear weights, stage by stage, with the scales of their columns and rows."""

    def __init__(
        self, checkpoint: Checkpoint, planned: Mapping[str, PlannedTensor], method: Method,
        run: LayerwiseRun, exact: LayerwiseRun | None, index: int,
        writer: ResumableWriter, progress: Progress,
    ) -> None:
        self.records: dict[str, TensorRecord] = {}
        self._checkpoint, self._planned, self._method = checkpoint, planned, method
        self._run, self._exact, self._prefix = run, exact, f"model.layers.{index}."
        self.stages = checkpoint.config.stages(index)
        self._writer, self._progress = writer, progress
        self._columns: dict[str, np.ndarray] = {}   # by linear: its weight is multiplied
        self._rows: dict[str, np.ndarray] = {}      # by linear: its weight is divided

    def write_stage(self, stage: int) -> None:
        """Quantize and write the linears of ``stages[stage]``."""
        names = self.stages[stage]
        moments, drift = self._moments(stage)
        if self._method.scales_columns:
            moments = self._scale_by_norm(stage, moments)
            if stage + 1 < len(self.stages):
                self._scale_next(stage)
        for name in names:
            weight = self._weight(name)
            if self._exact:
                self._exact.set(name, weight)
            self._write(name, weight, moments, drift)

    def _moments(self, stage: int) -> tuple[np.ndarray, np.ndarray | None]:
        """The moments of a stage's inputs, and how those of the model itself differ from them.

        That is not known of an expert's, as other tokens may go to it in the model itself.
        """
        found, K = self._run.inputs(stage), self._columns_of(stage)
        if self._exact is None or self._of_expert(stage):
            deque(self._exact.inputs(stage) if self._exact else (), maxlen=0)
            return hessian(found, K), None
        return moments_and_drift(found, self._exact.inputs(stage), K)

    def _of_expert(self, stage: int) -> bool:
        return ".experts." in self.stages[stage][0]

    def _columns_of(self, stage: int) -> int:
        return self._checkpoint.config.linear_shape(self.stages[stage][0])[1]

    def _scale_by_norm(self, stage: int, moments: np.ndarray) -> np.ndarray:
        """Scale the columns of a stage that reads a norm; the moments of its inputs then."""
        norm = norm_before(self._checkpoint.config, _kind(stage))
        if norm is None or self._of_expert(stage) or not self._all_quantized(self.stages[stage]):
            return moments   # the norm before experts is read by all of them, and by the router
        tensor = self._planned[f"{self._prefix}{norm}.weight"]
        stored = tensor.stored()[tensor.name]
        scales = self._search(self.stages[stage], moments, np.sqrt(np.diag(moments)))
        offset = self._checkpoint.config.gain_offset
        weight, scales = fold_gain(self._checkpoint.read(tensor.name), scales, stored, offset)
        self._run.set_norm(norm, weight + np.float32(offset))
        self._columns |= dict.fromkeys(self.stages[stage], scales)
        self.records[tensor.name] = write_gain(tensor, weight, self._writer, self._progress)
        return moments / np.outer(scales, scales)

    def _scale_next(self, stage: int) -> None:
        """Choose scales for the columns of the next stage that rows of this one can take up.

        They are for what the next stage would read if this one were not quantized.
        """
        config, (consumer, *_) = self._checkpoint.config, self.stages[stage + 1]
        producer = rows_before(config, _kind(stage + 1))
        if producer and self._of_expert(stage + 1):
            joined = config.experts is None or config.experts.joined
            producer = None if joined else self.stages[stage][-1]
        if producer is None or not self._all_quantized((producer, consumer)):
            return
        for name in self.stages[stage]:
            self._run.set(name, self._weight(name))
        moments = hessian(self._run.inputs(stage + 1), self._columns_of(stage + 1))
        shared = share_heads(config, _kind(stage + 1), np.diag(moments))
        magnitude = spread_heads(config, _kind(stage + 1), np.sqrt(shared))
        scales = self._search((consumer,), moments, magnitude)
        self._columns[consumer] = scales
        self._rows[producer] = share_heads(config, _kind(stage + 1), scales)

    def _search(
        self, names: tuple[str, ...], moments: np.ndarray, magnitude: np.ndarray
    ) -> np.ndarray:
        weights = [self._weight(name) for name in names]
        formats = [self._tensor(name).coded_format for name in names]
        return column_scales(weights, formats, moments, magnitude)

    def _all_quantized(self, names: tuple[str, ...]) -> bool:
        return all(self._tensor(name).format is not None for name in names)

    def _tensor(self, name: str) -> PlannedTensor:
        return self._planned[f"{self._prefix}{name}.weight"]

    def _weight(self, name: str) -> np.ndarray:
        """Float32 [M, K] with its columns and rows scaled."""
        blocks = WeightBlocks(self._checkpoint, self._tensor(name).name, self._columns.get(name),
                              self._rows.get(name))
        return np.concatenate(list(blocks.float32()))

    def _write(
        self, name: str, weight: np.ndarray, moments: np.ndarray, drift: np.ndarray | None
    ) -> None:
        tensor = self._tensor(name)
        restored = self._writer.restored.get(tensor.name)
        if restored is None:
            self.records[tensor.name] = self._quantize(name, tensor, weight, moments, drift)
            self._writer.finish(tensor, self.records[tensor.name])
            return
        self._run.set(name, weight if tensor.format is None else self._writer.packed(tensor))
        report_restored(tensor, restored, self._progress)
        self.records[tensor.name] = restored

    def _quantize(
        self, name: str, tensor: PlannedTensor, weight: np.ndarray, moments: np.ndarray,
        drift: np.ndarray | None,
    ) -> TensorRecord:
        form = tensor.format
        if form is None:
            self._run.set(name, weight)
            return write_tensor(self._checkpoint, tensor, self._writer, self._progress)
        target = weight
        try:
            if isinstance(form, self._method.formats) and name not in self._method.rounded:
                if drift is not None:
                    target = corrected(weight, moments, drift)
                assert self._method.quantize is not None, "it calibrates"
                codes = self._method.quantize(target, moments, form)
            else:
                codes = form.encode(weight)
        except FormatError as error:
            raise FormatError(f"{tensor.name}: {error}") from None
        self._run.set(name, PackedWeight(form, weight.shape, form.pack(codes)))
        lost = relative_output_error(target, form.dequantize(codes), moments)
        return write_codes(tensor, weight, codes, lost, self._writer, self._progress)
