"""Rotary embedding parameters, in the old spelling and in the new one."""

from __future__ import annotations

from pathlib import Path

from ...errors import CheckpointError
from ...model import RopeScaling
from .files.fields import Fields

__all__ = ["take_rope"]

_MAX_FACTOR = 1e6
_MAX_POSITIONS = 1 << 30


def take_rope(
    config: Fields, path: Path | str, max_positions: int, default_theta: float
) -> tuple[float, RopeScaling | None]:
    """The rotary base and how it is stretched, as ``transformers`` 5 reads them.

    Old spelling: ``rope_theta`` beside ``rope_scaling`` (its kind called ``type`` or
    ``rope_type``). New spelling: both in ``rope_parameters``. A base stated twice must be the
    same twice. ``llama3`` without ``original_max_position_embeddings`` takes ``max_positions``.

    Raises
    ------
    CheckpointError
        A kind other than ``default``, ``linear`` and ``llama3``, a parameter that is out of
        range or not understood, or two spellings that contradict each other.
    """
    parameters = _parameters(config, path)
    outer = config.number("rope_theta", 1.0, 1e12) if config.present("rope_theta") else None
    config.ignore(["rope_theta"])
    if parameters is None:
        return outer or default_theta, None
    theta = parameters.number("rope_theta", 1.0, 1e12, default=outer or default_theta)
    if outer not in (None, theta):
        raise parameters.refuse("rope_theta", f"the {outer:g} that stands outside as well")
    parameters.fixed("partial_rotary_factor", 1.0)
    scaling = _scaling(parameters, max_positions)
    parameters.finish()
    return theta, scaling


def _parameters(config: Fields, path: Path | str) -> Fields | None:
    """``rope_parameters`` or ``rope_scaling``; None where neither says anything."""
    spellings = ("rope_scaling", "rope_parameters")
    stated = [name for name in spellings if config.raw(name) not in (None, {})]
    if len(stated) == 2 and config.raw(stated[0]) != config.raw(stated[1]):
        raise CheckpointError(
            f'{path}: "rope_scaling" and "rope_parameters" contradict each other; keep one'
        )
    return config.fields(stated[0]) if stated else None


def _scaling(parameters: Fields, max_positions: int) -> RopeScaling | None:
    kinds = ("default", "linear", "llama3")
    kind = parameters.choice("type", kinds, default="default")
    kind = parameters.choice("rope_type", kinds, default=kind)
    if kind == "default":
        return None
    factor = parameters.number("factor", 1e-3, _MAX_FACTOR)
    if kind == "linear":
        return RopeScaling("linear", factor)
    low = parameters.number("low_freq_factor", 1e-3, _MAX_FACTOR)
    high = parameters.number("high_freq_factor", 1e-3, _MAX_FACTOR)
    if high <= low:
        raise parameters.refuse("high_freq_factor", f'above "low_freq_factor", {low:g}')
    original = parameters.integer(
        "original_max_position_embeddings", _MAX_POSITIONS, default=max_positions
    )
    return RopeScaling("llama3", factor, low, high, original)
