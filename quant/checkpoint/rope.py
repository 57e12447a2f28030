"""Rotary embedding parameters, in the old spelling and in the new one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import CheckpointError
from ...model import Rope, RopeScaling
from .files.fields import Fields

__all__ = ["RopeDefaults", "take_rope", "take_ropes"]

_MAX_FACTOR = 1e6
_MAX_POSITIONS = 1 << 30
_KINDS = ("default", "linear", "llama3", "yarn", "longrope", "dynamic")
_FULL, _SLIDING = "full_attention", "sliding_attention"


@dataclass(frozen=True)
class RopeDefaults:
    """What an architecture fixes about its rotary embedding.

    ``window_theta``: layers with a window have parameters of their own, by default unscaled with
    this base. ``partial``: the config may turn only a part of each head. ``renamed``: kinds that
    mean another one here (Phi-3's first configs).
    """

    theta: float = 10_000.0
    window_theta: float | None = None
    partial: bool = False
    renamed: tuple[tuple[str, str], ...] = ()


def take_rope(
    config: Fields, path: Path | str, max_positions: int, default_theta: float
) -> tuple[float, RopeScaling | None]:
    """The rotary base and how it is stretched, as ``transformers`` 5 reads them.

    Old spelling: ``rope_theta`` beside ``rope_scaling`` (its kind called ``type`` or
    ``rope_type``). New spelling: both in ``rope_parameters``. A base stated twice must be the
    same twice. Kinds that need ``original_max_position_embeddings`` take ``max_positions`` where it
    is not stated.

    Raises
    ------
    CheckpointError
        A kind that is not known, a parameter that is out of range or not understood, or two
        spellings that contradict each other.
    """
    taken = take_ropes(config, path, max_positions, 2, RopeDefaults(default_theta))
    return taken["rope_theta"], taken["rope_scaling"]


def take_ropes(
    config: Fields, path: Path | str, max_positions: int, head_dim: int, defaults: RopeDefaults
) -> dict[str, Any]:
    """Everything about rotary embedding that a ``ModelConfig`` has, by its fields.

    Spellings and errors as in ``take_rope``; of architectures with a ``window_theta``, parameters
    may stand apart for each kind of layer, or ``rope_local_base_freq`` beside the others.
    """
    outer = config.number("rope_theta", 1.0, 1e12) if config.present("rope_theta") else None
    config.ignore(["rope_theta"])
    part = config.number("partial_rotary_factor", 1e-3, 1.0, default=1.0)
    parameters = _parameters(config, path)
    apart = parameters is not None and any(map(parameters.stated, (_FULL, _SLIDING)))
    if defaults.window_theta is None or parameters is None or not apart:
        rope, growth = _one(parameters, outer, part, max_positions, head_dim, defaults, config)
        window = None if defaults.window_theta is None else Rope(
            rope.width, config.number("rope_local_base_freq", 1.0, 1e12,
                                      default=defaults.window_theta))
    else:
        config.ignore(["rope_local_base_freq"])
        rope, growth = _one(_kind_of_layer(parameters, _FULL), outer, part, max_positions, head_dim,
                            defaults, config)
        local = RopeDefaults(defaults.window_theta, None, defaults.partial)
        window, _ = _one(_kind_of_layer(parameters, _SLIDING), None, part, max_positions, head_dim,
                         local, config)
        parameters.finish()
    same = window == rope or window is None
    return {
        "rope_theta": rope.theta, "rope_scaling": rope.scaling,
        "rotary_width": None if rope.width == head_dim else rope.width,
        "window_rope": None if same else window, **growth,
    }


def _kind_of_layer(parameters: Fields, name: str) -> Fields | None:
    if parameters.present(name):
        return parameters.fields(name)
    parameters.ignore([name])
    return None


def _one(
    parameters: Fields | None, outer: float | None, part: float, max_positions: int, head_dim: int,
    defaults: RopeDefaults, config: Fields,
) -> tuple[Rope, dict[str, Any]]:
    """One rotary embedding, and fields about queries that stand among its parameters."""
    if parameters is None:
        width = _width(config, part, head_dim, defaults)
        return Rope(width, outer or defaults.theta), {}
    theta = parameters.number("rope_theta", 1.0, 1e12, default=outer or defaults.theta)
    if outer not in (None, theta):
        raise parameters.refuse("rope_theta", f"the {outer:g} that stands outside as well")
    part = parameters.number("partial_rotary_factor", 1e-3, 1.0, default=part)
    width = _width(parameters, part, head_dim, defaults)
    scaling = _scaling(parameters, max_positions, width, defaults, config)
    growth: dict[str, Any] = {}
    if parameters.present("llama_4_scaling_beta"):
        growth = {
            "query_growth": parameters.number("llama_4_scaling_beta", 0.0, 1e3),
            "query_period": scaling.original_max_position_embeddings if scaling else max_positions,
        }
    parameters.ignore(["max_position_embeddings"])   # Ministral 3 states the model's once more
    parameters.finish()
    return Rope(width, theta, scaling), growth


def _width(where: Fields, part: float, head_dim: int, defaults: RopeDefaults) -> int:
    width = int(head_dim * part)
    if part != 1 and not defaults.partial:
        raise where.refuse("partial_rotary_factor", "1.0, the only value that is supported")
    if width < 2 or width % 2:
        raise where.refuse("partial_rotary_factor", f"an even number of the {head_dim} channels")
    return width


def _parameters(config: Fields, path: Path | str) -> Fields | None:
    """``rope_parameters`` or ``rope_scaling``; None where neither says anything."""
    spellings = ("rope_scaling", "rope_parameters")
    stated = [name for name in spellings if config.raw(name) not in (None, {})]
    if len(stated) == 2 and config.raw(stated[0]) != config.raw(stated[1]):
        raise CheckpointError(
            f'{path}: "rope_scaling" and "rope_parameters" contradict each other; keep one'
        )
    return config.fields(stated[0]) if stated else None


def _scaling(
    parameters: Fields, max_positions: int, width: int, defaults: RopeDefaults, config: Fields
) -> RopeScaling | None:
    renamed = dict(defaults.renamed)
    kinds = (*_KINDS, *renamed)
    kind = parameters.choice("type", kinds, default="default")
    kind = parameters.choice("rope_type", kinds, default=kind)
    kind = renamed.get(kind, kind)
    if kind == "default":
        return None
    if kind == "linear":
        return RopeScaling("linear", parameters.number("factor", 1e-3, _MAX_FACTOR))
    if kind == "dynamic":
        parameters.ignore(["original_max_position_embeddings"])
        factor = parameters.number("factor", 1.0, _MAX_FACTOR)
        return RopeScaling("dynamic", factor, original_max_position_embeddings=max_positions)
    original = parameters.integer(
        "original_max_position_embeddings", _MAX_POSITIONS, default=max_positions
    )
    if config.present("original_max_position_embeddings"):   # goes first, as in transformers
        original = config.integer("original_max_position_embeddings", _MAX_POSITIONS)
    if kind == "llama3":
        return _llama3(parameters, original)
    factor = parameters.number("factor", 1e-3, _MAX_FACTOR, default=max_positions / original)
    if kind == "yarn":
        return _yarn(parameters, factor, original)
    return _longrope(parameters, factor, original, width)


def _llama3(parameters: Fields, original: int) -> RopeScaling:
    factor = parameters.number("factor", 1e-3, _MAX_FACTOR)
    low = parameters.number("low_freq_factor", 1e-3, _MAX_FACTOR)
    high = parameters.number("high_freq_factor", 1e-3, _MAX_FACTOR)
    if high <= low:
        raise parameters.refuse("high_freq_factor", f'above "low_freq_factor", {low:g}')
    return RopeScaling("llama3", factor, low, high, original)


def _yarn(parameters: Fields, factor: float, original: int) -> RopeScaling:
    scales = [parameters.number(name, 0.0, _MAX_FACTOR, default=0.0)
              for name in ("mscale", "mscale_all_dim")]

    def grown(scale: float) -> float:
        return 0.1 * scale * math.log(factor) + 1 if factor > 1 else 1.0

    derived = grown(scales[0]) / grown(scales[1]) if all(scales) else grown(1.0)
    return RopeScaling(
        "yarn", factor, original_max_position_embeddings=original,
        beta_fast=parameters.number("beta_fast", 1e-3, _MAX_FACTOR, default=32.0),
        beta_slow=parameters.number("beta_slow", 1e-3, _MAX_FACTOR, default=1.0),
        whole=parameters.boolean("truncate", default=True),
        magnitude=parameters.number("attention_factor", 1e-3, _MAX_FACTOR, default=derived),
    )


def _longrope(parameters: Fields, factor: float, original: int, width: int) -> RopeScaling:
    derived = 1.0
    if factor > 1 and original > 1:
        derived = math.sqrt(1 + math.log(factor) / math.log(original))
    return RopeScaling(
        "longrope", factor, original_max_position_embeddings=original,
        short=_divisors(parameters, "short_factor", width // 2),
        long=_divisors(parameters, "long_factor", width // 2),
        magnitude=parameters.number("attention_factor", 1e-3, _MAX_FACTOR, default=derived),
    )


def _divisors(parameters: Fields, name: str, count: int) -> tuple[float, ...]:
    values = parameters.raw(name)
    if not isinstance(values, list) or len(values) != count or not all(
        type(value) in (int, float) and 1e-3 <= value <= _MAX_FACTOR for value in values
    ):
        raise parameters.refuse(name, f"a list of {count} numbers from 0.001 to {_MAX_FACTOR:g}")
    return tuple(map(float, values))
