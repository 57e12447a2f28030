"""How much each linear weight suffers in each format: what ``--target-bpw`` decides by."""

from __future__ import annotations

import math

import numpy as np

from ...errors import FormatError
from ..checkpoint import Checkpoint
from ..formats import Format, Int2, Int3, Int4, Int8
from ..methods import CalibrationSource
from ..methods.calibration import hessian, relative_output_error
from ..rounding.weight_blocks import WeightBlocks
from .mixed import Choice

__all__ = ["LADDER", "measure_choices"]

_GROUP_SIZES = (128, 64, 32, None)
# The formats that a target is met with: of each, the first that fits a weight.
LADDER: tuple[tuple[Format, ...], ...] = (
    *(tuple(form(size) for size in _GROUP_SIZES) for form in (Int2, Int3, Int4)), (Int8(),),
)
_SAMPLE_VALUES = 1 << 22   # of a weight


def measure_choices(
    checkpoint: Checkpoint, calibration: CalibrationSource | None
) -> dict[str, list[Choice]]:
    """The formats of ``LADDER`` that fit each linear weight, with their bits and errors.

    The error is that of plain rounding: without calibration the NMSE of the weight (of whole row
    blocks, evenly spread over it, where it is large) times its number of values, so that the price
    of a bit is that of one value's error and no large weight is given up for many small ones; with
    calibration the relative error of the linear's outputs on the text, in a model whose other
    weights are INT8.
    """
    config = checkpoint.config
    choices: dict[str, list[Choice]] = {}
    if calibration is None:
        return {name: _by_weights(checkpoint, name) for name in config.linear_weights()}
    run = calibration.start(config, checkpoint.weight)
    for layer in range(config.num_layers):
        run.begin(layer)
        for index, stage in enumerate(config.stages(layer)):
            moments = hessian(run.inputs(index), config.linear_shape(stage[0])[1])
            for linear in stage:
                name = f"model.layers.{layer}.{linear}.weight"
                weight = np.concatenate(list(WeightBlocks(checkpoint, name).float32()))
                choices[name] = _by_outputs(weight, moments, name)
                run.set(linear, Int8().quantize(weight, name))
        run.end()
    return choices


def _by_weights(checkpoint: Checkpoint, name: str) -> list[Choice]:
    """The choices of one weight by its NMSE, a block at a time."""
    shape = checkpoint.tensors[name].shape
    forms = _fitting(shape)
    values = math.prod(shape)
    every = max(1, values // _SAMPLE_VALUES)
    squares, errors = 0.0, [0.0] * len(forms)
    for rows in WeightBlocks(checkpoint, name).float32(every):
        squares += _squares(rows)
        for index, form in enumerate(forms):
            errors[index] += _squares(form.dequantize(form.encode(rows)) - rows)
    return [
        Choice(form, _bits(form, shape), values * error / squares if squares else 0.0)
        for form, error in zip(forms, errors, strict=True)
    ]


def _by_outputs(weight: np.ndarray, moments: np.ndarray, name: str) -> list[Choice]:
    """The choices of one weight by the error of its outputs."""
    choices = []
    for form in _fitting(weight.shape):
        quantized = form.quantize(weight, name).dequantize()
        error = relative_output_error(weight, quantized, moments)
        choices.append(Choice(form, _bits(form, weight.shape), error))
    return choices


def _squares(values: np.ndarray) -> float:
    return math.fsum(np.square(values, dtype=np.float64).sum(axis=1))


def _bits(form: Format, shape: tuple[int, ...]) -> int:
    return 8 * sum(part.nbytes for part in form.layout((shape[0], shape[1])).values())


def _fitting(shape: tuple[int, ...]) -> list[Format]:
    """The first format of each rung that fits."""
    found = (next((f for f in rung if _fits(f, shape)), None) for rung in LADDER)
    return [form for form in found if form is not None]


def _fits(form: Format, shape: tuple[int, ...]) -> bool:
    try:
        form.check("", shape)
    except FormatError:
        return False
    return True
