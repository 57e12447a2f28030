"""The experts of one layer on calibration text, one expert at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .experts import Route
from .kernels.routing import add_shares
from .layer import DecoderLayer, Weights

__all__ = ["ExpertRun"]


class ExpertRun:
    """Which tokens each expert of ``layer`` gets, and what all experts' outputs add up to.

    The streams are float32 [tokens, hidden_size] before the feed-forward, one for each sequence.
    The experts are gone through in order; one is finished and let go when the next one begins. The
    outputs are added up in the order of the finished model.
    """

    def __init__(self, layer: DecoderLayer, weights: Weights) -> None:
        self._layer = layer
        assert layer.config.experts is not None, "the layer has experts"
        self._router = layer.load_router(weights)
        self._width = layer.config.experts.intermediate_size
        self._routes: list[Route] = []
        self._sums: list[np.ndarray] = []
        self._streams: list[np.ndarray] = []
        self._current: int | None = None
        self.tokens: list[int] = []

    @property
    def routed(self) -> bool:
        """Whether ``route`` has been called."""
        return bool(self._routes)

    def route(self, streams: list[np.ndarray]) -> None:
        """Choose the experts of all tokens."""
        self._streams = streams
        self._routes = [self._router(self._layer.feed_forward_input(stream)) for stream in streams]
        self._sums = [np.zeros_like(stream) for stream in streams]
        count = self._router.count
        self.tokens = np.sum(
            [np.bincount(route.chosen.reshape(-1), minlength=count) for route in self._routes], 0
        ).tolist()

    def inputs(self, expert: int, streams: list[np.ndarray]) -> Iterator[np.ndarray]:
        """What ``expert`` reads, sequence by sequence; the expert before it is finished."""
        if self._current != expert:
            self.finish()
            self._current = expert
        for stream, route in zip(streams, self._routes, strict=True):
            tokens, _ = route.of(expert)
            yield self._layer.feed_forward_input(stream)[tokens]

    def gated(self, expert: int, streams: list[np.ndarray]) -> Iterator[np.ndarray]:
        """What the expert's down projection reads, sequence by sequence."""
        for h in self.inputs(expert, streams):
            if len(h):
                yield self._layer.gate_of(expert, h)
            else:
                yield np.empty((0, self._width), np.float32)

    def finish(self) -> None:
        """Add the outputs of the expert that is current, and let it go."""
        if self._current is None:
            return
        prefix = f"mlp.experts.{self._current}."
        blocks = self.gated(self._current, self._streams)
        down = self._layer.linears[f"{prefix}down_proj"]
        for total, route, gated in zip(self._sums, self._routes, blocks, strict=True):
            tokens, shares = route.of(self._current)
            if len(tokens):
                add_shares(total, tokens, down(gated), shares)
        for name in [name for name in self._layer.linears if name.startswith(prefix)]:
            del self._layer.linears[name]
        self._current = None

    def add_to(self, streams: list[np.ndarray]) -> None:
        """Add what the experts add up to."""
        for stream, total in zip(streams, self._sums, strict=True):
            self._layer.add_update(stream, total)
