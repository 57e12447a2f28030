"""The layers' linear weights, quantized in the order of a forward pass, each for its own inputs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..errors import FormatError
from ..model import LINEAR_STAGES
from .checkpoint import Checkpoint
from .convert import Progress, write_codes, write_tensor
from .formats import PackedWeight
from .manifest import TensorRecord
from .methods import Calibration, CalibrationRun, Method
from .methods.calibration import hessian, relative_output_error
from .plan import PlannedTensor
from .weight_blocks import WeightBlocks
from .writer import SafetensorsWriter

__all__ = ["write_layers"]


def write_layers(
    checkpoint: Checkpoint, planned: Mapping[str, PlannedTensor], method: Method,
    calibration: Calibration, writer: SafetensorsWriter, progress: Progress,
) -> dict[str, TensorRecord]:
    """Quantize and write ``planned``, the linear weights by name; the records by name.

    Each weight sees the inputs that the quantized matrices before it give, as in the finished
    model. Formats that ``method`` does not make are rounded to; a weight without one is kept. Only
    one weight and one layer's packed weights are in memory at a time, besides what the run keeps of
    the text.
    """
    config = checkpoint.config
    run = calibration.start(config, checkpoint.weight)
    records = {}
    for layer in range(config.num_layers):
        run.begin(layer)
        for index, stage in enumerate(LINEAR_STAGES):
            moments = hessian(run.inputs(index), config.linear_shape(stage[0])[1])
            for name in stage:
                tensor = planned[f"model.layers.{layer}.{name}.weight"]
                records[tensor.name] = _write(
                    checkpoint, tensor, method, moments, run, name, writer, progress
                )
        run.end()
    return records


def _write(
    checkpoint: Checkpoint, tensor: PlannedTensor, method: Method, moments: np.ndarray,
    run: CalibrationRun, linear: str, writer: SafetensorsWriter, progress: Progress,
) -> TensorRecord:
    weight = np.concatenate(list(WeightBlocks(checkpoint, tensor.name).float32()))
    form = tensor.format
    if form is None:
        run.set(linear, weight)
        return write_tensor(checkpoint, tensor, writer, progress)
    try:
        if isinstance(form, method.formats):
            codes = method.quantize(weight, moments, form)
        else:
            codes = form.encode(weight)
    except FormatError as error:
        raise FormatError(f"{tensor.name}: {error}") from None
    run.set(linear, PackedWeight(form, weight.shape, form.pack(codes)))
    error = relative_output_error(weight, form.dequantize(codes), moments)
    return write_codes(tensor, weight, codes, error, writer, progress)
