"""Seconds and joules of a batch on the accelerator.

Pieces in one batch share every weight that they read in the same layer; activations, keys and
values are their own. A batch of one piece costs what ``Machine.step_time`` and ``step_energy`` say.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

from ...model import ModelConfig
from ..formulas.energy import work_energy
from ..formulas.latency import Machine
from ..formulas.workload import Operator, Traffic, step
from .batch import Batch, Piece

__all__ = ["BatchCosts", "Cost"]

Cost = tuple[float, float]   # seconds, joules


class BatchCosts:
    """What batches of ``config`` cost on ``machine``."""

    def __init__(self, machine: Machine, config: ModelConfig) -> None:
        self.machine, self.config = machine, config

    def sequence(self, batch: Batch) -> list[Cost]:
        """Seconds and joules of each operator of ``batch``, in the order in which they run.

        Where layers attend to windows of different lengths, each counts as their mean. The
        processor's part follows as an operator of its own.
        """
        pieces = batch.pieces
        layout = self.machine.hardware.layout(self.config, sum(piece.tokens for piece in pieces))
        steps = {piece: step(self.config, layout, piece.tokens, piece.past) for piece in pieces}
        before = [steps[piece].before for piece in pieces if piece.first == 0]
        after = [steps[piece].after for piece in pieces if piece.yields]
        costs = self._merged(before)
        edges = sorted({edge for piece in pieces for edge in (piece.first, piece.last)})
        for low, high in itertools.pairwise(edges):
            inside = [p for p in pieces if p.first <= low and high <= p.last]
            one = self._merged([steps[p].layer for p in inside], self.config.num_layers)
            costs += one * (high - low)
        costs += self._merged(after)
        yielded = self.machine.host_time * sum(piece.yields for piece in pieces)
        return [*costs, (yielded, self.standing(yielded))]

    def cost(self, pieces: Sequence[Piece]) -> Cost:
        """Seconds and joules of a whole batch of ``pieces``."""
        seconds, joules = zip(*self.sequence(Batch(tuple(pieces))), strict=True)
        return sum(seconds), sum(joules)

    def standing(self, seconds: float) -> float:
        """Joules of ``seconds`` in which the clock runs and nothing is computed."""
        return work_energy(self.machine, seconds, 0, 0).total

    def idle(self, seconds: float) -> float:
        """Joules of ``seconds`` in which there is no request."""
        return work_energy(self.machine, seconds, 0, 0).static

    def _merged(self, steps: Sequence[Sequence[Operator]], layers: int = 1) -> list[Cost]:
        """Costs of the operators of several pieces in one of ``layers`` layers, those of one name
        done together.
        """
        return [self._operator(same, layers) for same in zip(*steps, strict=True)]

    def _operator(self, same: Sequence[Operator], layers: int) -> Cost:
        operator = same[0]
        share = operator.count / layers
        if len(same) > 1:
            operator = _together(same)
        seconds = share * self.machine.time(operator).total
        macs = {unit: 0.0 for unit in ("tlmm", "integer", "vector")}
        macs[operator.unit] = share * operator.macs
        energy = work_energy(
            self.machine, seconds, share * self.machine.bytes(operator), macs["tlmm"],
            macs["integer"], share * operator.operations,
        )
        return seconds, energy.total


def _together(same: Sequence[Operator]) -> Operator:
    """One operator that does the work of several, reading their weights once."""
    traffic = Traffic(**{
        field.name: sum(getattr(one.traffic, field.name) for one in same)
        for field in dataclasses.fields(Traffic)
    })
    if same[0].name != "embedding":   # rows of the embedding are each token's own
        traffic = dataclasses.replace(traffic, weights=max(one.traffic.weights for one in same))
    return dataclasses.replace(
        same[0], traffic=traffic, **{
            field: sum(getattr(one, field) for one in same)
            for field in ("tokens", "macs", "operations", "elements")
        },
    )
