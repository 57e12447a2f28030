"""One tensor at a time, from a checkpoint into the new file, with its error."""

from __future__ import annotations

import numpy as np

from ...errors import FormatError
from ...tools.progress import Progress
from ..checkpoint import Checkpoint
from ..formats import Codes, Format
from ..output.manifest import TensorRecord
from ..output.safetensors_writer import SafetensorsWriter
from ..plan.plan import PlannedTensor
from ..rounding.error_meter import ErrorMeter, errors_of, six_digits
from ..rounding.rounded_blocks import rounded_blocks
from ..rounding.weight_blocks import WeightBlocks, row_blocks

__all__ = ["report_restored", "write_codes", "write_gain", "write_tensor"]


def _record(
    tensor: PlannedTensor, meter: ErrorMeter, output_nmse: float | None = None
) -> TensorRecord:
    """What was counted, and the error of the outputs if it is known."""
    outputs = None if output_nmse is None else six_digits(output_nmse)
    return tensor.record(meter.nmse, meter.max_abs_error, outputs)


def write_tensor(
    checkpoint: Checkpoint, tensor: PlannedTensor, writer: SafetensorsWriter, progress: Progress,
    blocks: WeightBlocks | None = None,
) -> TensorRecord:
    """Convert one tensor, block by block; ``blocks`` if they are not the checkpoint's own."""
    meter = ErrorMeter()
    if tensor.format is None:
        _keep(checkpoint, tensor, writer, progress)
    else:
        try:
            blocks = blocks or WeightBlocks(checkpoint, tensor.name)
            _quantize(blocks, tensor, tensor.format, writer, meter, progress)
        except FormatError as error:
            raise FormatError(f"{tensor.name}: {error}") from None
    record = _record(tensor, meter)
    progress.finished(record)
    return record


def write_codes(
    tensor: PlannedTensor, weight: np.ndarray, codes: Codes, output_nmse: float,
    writer: SafetensorsWriter, progress: Progress,
) -> TensorRecord:
    """Write a whole tensor whose ``codes`` a method has chosen for the float32 ``weight``."""
    meter = ErrorMeter()
    meter.add(errors_of(weight, tensor.coded_format.dequantize(codes)))
    for suffix, block in tensor.coded_format.pack(codes).items():
        writer.append(f"{tensor.name}_{suffix}", block)
    progress.advance(tensor.info.nbytes)
    record = _record(tensor, meter, output_nmse)
    progress.finished(record)
    return record


def write_gain(
    tensor: PlannedTensor, weight: np.ndarray, writer: SafetensorsWriter, progress: Progress
) -> TensorRecord:
    """Write a norm whose float32 ``weight`` has taken up scales."""
    writer.append(tensor.name, tensor.stored()[tensor.name].from_float32(weight))
    progress.advance(tensor.info.nbytes)
    record = tensor.record()
    progress.finished(record)
    return record


def report_restored(tensor: PlannedTensor, record: TensorRecord, progress: Progress) -> None:
    """Tell ``progress`` of a tensor that an earlier run finished."""
    progress.advance(tensor.info.nbytes)
    progress.finished(record)


def _quantize(
    blocks: WeightBlocks, tensor: PlannedTensor, form: Format, writer: SafetensorsWriter,
    meter: ErrorMeter, progress: Progress,
) -> None:
    layout = form.layout(tensor.info.matrix)
    done = 0
    for block in rounded_blocks(blocks, form):
        meter.add(block.errors)
        for suffix, part in block.tensors.items():
            if layout[suffix].per_row or done == 0:
                writer.append(f"{tensor.name}_{suffix}", part)
        progress.advance(_share(tensor, done, done + block.rows))
        done += block.rows


def _keep(
    checkpoint: Checkpoint, tensor: PlannedTensor, writer: SafetensorsWriter, progress: Progress
) -> None:
    """Copy a tensor in its stored type; float32 holds each of those types exactly."""
    entry = tensor.stored()[tensor.name]
    if len(tensor.info.shape) != 2:
        writer.append(tensor.name, entry.from_float32(checkpoint.read(tensor.name)))
        progress.advance(tensor.info.nbytes)
        return
    for start, stop in row_blocks(tensor.info.shape):
        rows = checkpoint.rows(tensor.name, start, stop)
        writer.append(tensor.name, entry.from_float32(rows))
        progress.advance(_share(tensor, start, stop))


def _share(tensor: PlannedTensor, start: int, stop: int) -> int:
    """Stored bytes of rows ``start`` to ``stop``; all rows' shares add up to the whole."""
    rows, nbytes = tensor.info.shape[0], tensor.info.nbytes
    return nbytes * stop // rows - nbytes * start // rows
