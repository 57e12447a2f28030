"""Mixtures of experts in config.json: how many, how many at a time, in which layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...model import Experts
from .files.fields import Fields

__all__ = ["MAX_EXPERTS", "ExpertFields", "take_experts"]

MAX_EXPERTS = 4096


@dataclass(frozen=True)
class ExpertFields:
    """Where an architecture states its experts.

    ``counts`` are the names of the field of their number, of which all that are stated must agree;
    ``width`` that of an expert's intermediate size. ``normalized``: whether the shares of the
    chosen experts add up to one; None: ``norm_topk_prob`` says so, false by default. With
    ``some_layers``, ``decoder_sparse_step`` and ``mlp_only_layers`` give layers without experts.
    ``gpt_oss``: the experts are joined, with biases and a limit (``model.Experts``).
    """

    counts: tuple[str, ...]
    count: int
    chosen: int
    width: str
    normalized: bool | None
    some_layers: bool = False
    gpt_oss: bool = False


def take_experts(
    fields: Fields, stated: ExpertFields | None, num_layers: int, max_width: int
) -> Experts | None:
    """The experts of a model with ``num_layers`` layers; None where there are none.

    Raises ``CheckpointError`` where a field is out of range, or contradicts another one.
    """
    if stated is None:
        return None
    count = _count(fields, stated)
    normalized = stated.normalized
    if normalized is None:
        normalized = fields.boolean("norm_topk_prob", default=False)
    layers = _layers(fields, num_layers) if stated.some_layers else ()
    experts = Experts(
        count=count,
        chosen=fields.integer("num_experts_per_tok", count, default=min(stated.chosen, count)),
        intermediate_size=fields.integer(stated.width, max_width),
        normalized=normalized,
        layers=layers,
        **(_gpt_oss(fields) if stated.gpt_oss else {}),
    )
    return None if layers and not any(layers) else experts


def _gpt_oss(fields: Fields) -> dict[str, Any]:
    fields.fixed("swiglu_alpha", 1.702)
    fields.fixed("experts_per_token", fields.raw("num_experts_per_tok"))
    limit = fields.number("swiglu_limit", 1e-3, 1e6, default=7.0)
    return {"joined": True, "biases": True, "limit": limit}


def _count(fields: Fields, stated: ExpertFields) -> int:
    """The number of experts, under any of its names."""
    present = [name for name in stated.counts if fields.present(name)]
    fields.ignore(stated.counts)
    if not present:
        return stated.count
    count = fields.integer(present[0], MAX_EXPERTS)
    for other in present[1:]:
        if fields.integer(other, MAX_EXPERTS) != count:
            raise fields.refuse(other, f'{count}, as "{present[0]}" says')
    return count


def _layers(fields: Fields, num_layers: int) -> tuple[bool, ...]:
    """Which layers have experts: each ``decoder_sparse_step``-th but for ``mlp_only_layers``.

    Empty where all have.
    """
    step = fields.integer("decoder_sparse_step", num_layers, default=1)
    without = fields.raw("mlp_only_layers")
    if without is None:
        without = []
    if not isinstance(without, list) or not all(
        type(layer) is int and 0 <= layer < num_layers for layer in without
    ):
        raise fields.refuse("mlp_only_layers", f"a list of layers from 0 to {num_layers - 1}")
    layers = tuple(
        layer not in without and (layer + 1) % step == 0 for layer in range(num_layers)
    )
    return () if all(layers) else layers
