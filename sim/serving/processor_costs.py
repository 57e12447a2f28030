"""Seconds and joules of a batch on a processor of a SoC.

Pieces in one batch share every weight that they read in the same layer; keys and values are their
own. A batch of one piece that goes through all layers costs what ``ProcessorRequest`` says.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

from ..descriptions.quantity import Corner
from ..formulas.workload import DramTraffic, Operator
from ..processors.costs import ProcessorRequest
from .batch import Batch, Piece
from .costs import Cost, Costs

__all__ = ["ProcessorBatchCosts"]

_ENDS = ("embedding", "head")
_KEPT = 1 << 15
_Numbers = tuple[int, int, int, int, bool]   # tokens, past, first, last, yields of a ``Piece``


class ProcessorBatchCosts:
    """What batches cost on the processor, with the engine and the format, of ``request``.

    The lengths of ``request`` do not matter.
    """

    def __init__(self, request: ProcessorRequest) -> None:
        self.request = request
        self.config = request.model.config
        self._operators = lru_cache(_KEPT)(self._step)
        self._decoded = lru_cache(_KEPT)(self._decode_cost)

    @property
    def device_name(self) -> str:
        """What the SoC is called."""
        return self.request.soc.name

    @property
    def capacity(self) -> int:
        """Bytes of memory."""
        return self.request.soc.dram.capacity.count

    def needed_bytes(self, positions: int) -> int:
        """Bytes of the weights, and of caches with so many positions in all."""
        return self.request.weight_bytes + positions * self.request.kv_bytes_per_position

    def sequence(self, batch: Batch) -> Costs:
        """Seconds and joules of each operator of ``batch``, in the order in which they run."""
        return tuple(map(self._cost, self._runs([_numbers(piece) for piece in batch.pieces])))

    def cost(self, pieces: Sequence[Piece]) -> Cost:
        """Seconds and joules of a whole batch of ``pieces``."""
        return _sums(self._cost(one) for one in self._runs([_numbers(one) for one in pieces]))

    def decode(self, pasts: Sequence[int]) -> Cost:
        """Seconds and joules of a token for each sequence, of ``pasts`` positions in its cache.

        Their mean stands for each.
        """
        return self._decoded(len(pasts), round(sum(pasts) / len(pasts)))

    def standing(self, seconds: float) -> float:
        """Joules of ``seconds`` in which the processor is busy and moves nothing."""
        return self.request.energy(seconds, 0, Corner.NOMINAL).total

    def idle(self, seconds: float) -> float:
        """Joules of ``seconds`` in which there is no request."""
        return self.request.energy(seconds, 0, Corner.NOMINAL).static

    def _decode_cost(self, count: int, past: int) -> Cost:
        layers = self.config.num_layers
        return _sums(self._cost(one) for one in self._runs([(1, past, 0, layers, True)] * count))

    def _step(self, tokens: int, past: int) -> tuple[Operator, ...]:
        return tuple(self.request.operators(tokens, past))

    def _runs(self, pieces: Sequence[_Numbers]) -> Iterator[Operator]:
        """The operators of all pieces; those of one name and layer are done together."""
        layers = self.config.num_layers
        steps = {piece[:2]: self._operators(*piece[:2]) for piece in pieces}
        yield from self._ends([steps[one[:2]][0] for one in pieces if one[2] == 0])
        edges = sorted({edge for piece in pieces for edge in piece[2:4]})
        for low, high in itertools.pairwise(edges):
            inside = [steps[one[:2]] for one in pieces if one[2] <= low and high <= one[3]]
            for same in zip(*inside, strict=True):
                if same[0].name not in _ENDS:
                    merged = _together(same)
                    runs = merged.count // layers * (high - low)
                    yield replace(merged, count=runs)
        yield from self._ends([steps[one[:2]][-1] for one in pieces if one[4]])

    def _ends(self, same: Sequence[Operator]) -> Iterator[Operator]:
        if same:
            yield _together(same)

    def _cost(self, operator: Operator) -> Cost:
        seconds = self.request.seconds(operator)
        moved = operator.count * operator.traffic.total
        return seconds, self.request.energy(seconds, moved, Corner.NOMINAL).total


def _numbers(piece: Piece) -> _Numbers:
    return piece.tokens, piece.past, piece.first, piece.last, piece.yields


def _sums(costs: Iterator[Cost]) -> Cost:
    seconds, joules = zip(*costs, strict=True)
    return sum(seconds), sum(joules)


def _together(same: Sequence[Operator]) -> Operator:
    """One operator that does the work of several, reading the weights of the largest once."""
    if len(same) == 1:
        return same[0]
    count = max(one.count for one in same)   # a long prompt goes through in parts
    weights = max(one.count * one.traffic.weights for one in same)
    if same[0].name == "embedding":          # its rows are each token's own
        weights = sum(one.count * one.traffic.weights for one in same)

    def total(values: Iterator[int]) -> int:
        return round(sum(one.count * value for one, value in zip(same, values, strict=True))
                     / count)

    return replace(
        same[0], count=count, tokens=sum(one.tokens for one in same),
        macs=total(one.macs for one in same),
        traffic=DramTraffic(weights=round(weights / count),
                            kv_read=total(one.traffic.kv_read for one in same),
                            kv_written=total(one.traffic.kv_written for one in same)))
