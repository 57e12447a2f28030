"""Seconds and joules of a batch on the accelerator.

Pieces in one batch share every weight that they read in the same layer; activations, keys and
values are their own. A batch of one piece costs what ``Machine.step_time`` and ``step_energy`` say.

Attention depends on how many positions each piece sees, and all pieces together cost what their
sums cost; everything else depends on how many tokens there are. Both are kept, as many batches of a
trace have the same: at most ``_KEPT`` of each, whatever the trace.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from functools import lru_cache, partial
from typing import Protocol

from ...model import ModelConfig
from ..descriptions.dram_layout import DramLayout
from ..formulas.energy import work_energy
from ..formulas.latency import Machine
from ..formulas.workload import (
    DramTraffic,
    Operator,
    Seen,
    attention,
    model_bytes,
    seen,
    step,
)
from .batch import Batch, Piece

__all__ = ["BatchCosts", "Cost", "Costs", "ServingCosts"]

Cost = tuple[float, float]   # seconds, joules
Costs = tuple[Cost, ...]
_Numbers = tuple[int, int, int, int, bool]   # tokens, past, first, last, yields of a ``Piece``
_Sizes = tuple[int, ...]     # tokens of each piece, in ascending order
_KEPT = 1 << 15
_KEPT_LONG = 1 << 10         # of what has some thousand operators


class ServingCosts(Protocol):
    """What batches of a model cost on a device."""

    @property
    def config(self) -> ModelConfig:
        """The model."""
        ...

    @property
    def device_name(self) -> str:
        """What the device is called."""
        ...

    @property
    def capacity(self) -> int:
        """Bytes of memory."""
        ...

    def needed_bytes(self, positions: int) -> int:
        """Bytes of the weights, and of caches with so many positions in all."""
        ...

    def sequence(self, batch: Batch) -> Costs:
        """Seconds and joules of each operator of ``batch``, in the order in which they run."""
        ...

    def cost(self, pieces: Sequence[Piece]) -> Cost:
        """Seconds and joules of a whole batch of ``pieces``."""
        ...

    def decode(self, pasts: Sequence[int]) -> Cost:
        """Seconds and joules of a token for each sequence, of ``pasts`` positions in its cache."""
        ...

    def standing(self, seconds: float) -> float:
        """Joules of ``seconds`` in which it is busy and nothing is computed."""
        ...

    def idle(self, seconds: float) -> float:
        """Joules of ``seconds`` in which there is no request."""
        ...


class BatchCosts:
    """What batches of ``config`` cost on ``machine``."""

    def __init__(self, machine: Machine, config: ModelConfig) -> None:
        self.machine, self.config = machine, config
        self._layout = lru_cache(_KEPT)(partial(machine.hardware.layout, config))
        self._seen = lru_cache(_KEPT)(self._seen_by)
        self._attention = lru_cache(_KEPT)(self._attention_costs)
        self._around = lru_cache(_KEPT)(self._costs_around)
        self._edges = lru_cache(_KEPT)(self._edge_costs)
        self._decoded = lru_cache(_KEPT)(self._decode_cost)
        self._step = lru_cache(_KEPT_LONG)(partial(step, config))
        self._alone = lru_cache(_KEPT_LONG)(self._piece_costs)
        self._whole = lru_cache(_KEPT)(self._piece_cost)

    @property
    def device_name(self) -> str:
        """What the board is called."""
        return self.machine.device.name

    @property
    def capacity(self) -> int:
        """Bytes of memory."""
        return self.machine.device.dram.capacity.count

    def needed_bytes(self, positions: int) -> int:
        """Bytes of the weights, and of caches with so many positions in all."""
        layout = self._layout(1)
        cache = 2 * self.config.num_layers * layout.kv_bytes(self.config, positions)
        return model_bytes(self.config, layout) + cache

    def sequence(self, batch: Batch) -> Costs:
        """Seconds and joules of each operator of ``batch``, in the order in which they run.

        Where layers attend to windows of different lengths, each counts as their mean. The
        processor's part follows as an operator of its own.
        """
        numbers = [_numbers(piece) for piece in batch.pieces]
        return self._alone(*numbers) if len(numbers) == 1 else self._costs(numbers)

    def cost(self, pieces: Sequence[Piece]) -> Cost:
        """Seconds and joules of a whole batch of ``pieces``."""
        numbers = [_numbers(piece) for piece in pieces]
        return self._whole(*numbers) if len(numbers) == 1 else _sums(self._costs(numbers))

    def decode(self, pasts: Sequence[int]) -> Cost:
        """Seconds and joules of a token for each sequence, of ``pasts`` positions in its cache."""
        return self._decoded(len(pasts), self._all_seen([(1, past) for past in pasts]))

    def standing(self, seconds: float) -> float:
        """Joules of ``seconds`` in which the clock runs and nothing is computed."""
        return work_energy(self.machine, seconds, 0, 0).total

    def idle(self, seconds: float) -> float:
        """Joules of ``seconds`` in which there is no request."""
        return work_energy(self.machine, seconds, 0, 0).static

    def _piece_costs(self, piece: _Numbers) -> Costs:
        return self._costs([piece])

    def _piece_cost(self, piece: _Numbers) -> Cost:
        return _sums(self._costs([piece]))

    def _costs(self, pieces: Sequence[_Numbers]) -> Costs:
        layout = self._layout(sum(piece[0] for piece in pieces))
        begun = _sizes(tokens for tokens, _, first, _, _ in pieces if first == 0)
        yielding = _sizes(tokens for tokens, _, _, _, yields in pieces if yields)
        costs = self._edges(layout, begun)[0]
        edges = sorted({edge for piece in pieces for edge in piece[2:4]})
        for low, high in itertools.pairwise(edges):
            inside = [piece[:2] for piece in pieces if piece[2] <= low and high <= piece[3]]
            if inside:
                costs += self._layer(
                    layout, _sizes(tokens for tokens, _ in inside), self._all_seen(inside)
                ) * (high - low)
        return costs + self._edges(layout, yielding)[1] + self._host(len(yielding))

    def _decode_cost(self, count: int, seen: Seen) -> Cost:
        """A token each of ``count`` sequences that see ``seen`` together."""
        layout, sizes = self._layout(count), (1,) * count
        before, after = self._edges(layout, sizes)
        layers = self._layer(layout, sizes, seen) * self.config.num_layers
        return _sums(before + layers + after + self._host(count))

    def _host(self, tokens: int) -> Costs:
        """The processor's part in ``tokens`` tokens that come out."""
        yielded = self.machine.host_time * tokens
        return ((yielded, self.standing(yielded)),)

    def _layer(self, layout: DramLayout, sizes: _Sizes, seen: Seen) -> Costs:
        """The operators of one layer, for pieces of ``sizes`` that see ``seen`` together."""
        before, after = self._around(layout, sizes)
        return before + self._attention(layout, sum(sizes), seen) + after

    def _all_seen(self, pieces: Sequence[tuple[int, int]]) -> Seen:
        """What pieces of tokens and past see together."""
        return tuple(map(sum, zip(*itertools.starmap(self._seen, pieces), strict=True)))

    def _seen_by(self, tokens: int, past: int) -> Seen:
        return seen(self.config, self._layout(1), tokens, past)

    def _attention_costs(self, layout: DramLayout, tokens: int, seen: Seen) -> Costs:
        layers = self.config.num_layers
        return tuple(
            self._operator(operator, layers)
            for operator in attention(self.config, layout, tokens, seen)
        )

    def _costs_around(self, layout: DramLayout, sizes: _Sizes) -> tuple[Costs, Costs]:
        """The operators of one layer before attention, and those after it."""
        steps = [self._step(layout, tokens).layer for tokens in sizes]
        costs = self._merged(steps, self.config.num_layers)
        attended = attention(self.config, layout, 1, self._seen(1, 0))
        begin = [operator.name for operator in steps[0]].index(attended[0].name)
        return costs[:begin], costs[begin + len(attended):]

    def _edge_costs(self, layout: DramLayout, sizes: _Sizes) -> tuple[Costs, Costs]:
        """The operators before all layers, and those after them; none without pieces."""
        steps = [self._step(layout, tokens) for tokens in sizes]
        return (self._merged([one.before for one in steps]),
                self._merged([one.after for one in steps]))

    def _merged(self, steps: Sequence[Sequence[Operator]], layers: int = 1) -> Costs:
        """Costs of the operators of several pieces in one of ``layers`` layers, those of one name
        done together.
        """
        return tuple(
            self._operator(same[0] if len(same) == 1 else _together(same), layers)
            for same in zip(*steps, strict=True)
        )

    def _operator(self, operator: Operator, layers: int) -> Cost:
        share = operator.count / layers
        seconds = share * self.machine.time(operator).total
        macs = {unit: 0.0 for unit in ("tlmm", "integer", "vector")}
        macs[operator.unit] = share * operator.macs
        energy = work_energy(
            self.machine, seconds, share * self.machine.bytes(operator), macs["tlmm"],
            macs["integer"], share * operator.operations,
        )
        return seconds, energy.total


def _numbers(piece: Piece) -> _Numbers:
    return piece.tokens, piece.past, piece.first, piece.last, piece.yields


def _sizes(tokens: Iterable[int]) -> _Sizes:
    return tuple(sorted(tokens))


def _sums(costs: Costs) -> Cost:
    seconds, joules = zip(*costs, strict=True)
    return sum(seconds), sum(joules)


def _together(same: Sequence[Operator]) -> Operator:
    """One operator that does the work of several, reading their weights once."""
    traffic = DramTraffic(**{
        field.name: sum(getattr(one.traffic, field.name) for one in same)
        for field in dataclasses.fields(DramTraffic)
    })
    if same[0].name != "embedding":   # rows of the embedding are each token's own
        traffic = dataclasses.replace(traffic, weights=max(one.traffic.weights for one in same))
    return dataclasses.replace(
        same[0], traffic=traffic, **{
            field: sum(getattr(one, field) for one in same)
            for field in ("tokens", "macs", "operations", "elements")
        },
    )
