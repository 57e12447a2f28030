"""A feed-forward made of experts: each token goes through those that its router chooses."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from ..model import Experts
from .kernels.elementwise import limited_gate
from .kernels.routing import add_shares, route
from .linear import Linear

__all__ = ["ExpertFeedForward", "Route", "Router", "expert_gate"]

Gate = Callable[..., np.ndarray]


class Route(NamedTuple):
    """Where N tokens go: experts int32 [N, k], ascending in each row, and shares float32 [N, k]."""

    chosen: np.ndarray
    shares: np.ndarray

    def of(self, expert: int) -> tuple[np.ndarray, np.ndarray]:
        """The tokens that go to ``expert``, ascending, and their shares."""
        tokens, ranks = np.nonzero(self.chosen == expert)
        return tokens, self.shares[tokens, ranks]


class Router:
    """Chooses ``experts`` by ``weight`` [count, hidden_size], float32 whatever the rest is.

    ``bias`` float32 [count], or None.
    """

    def __init__(self, experts: Experts, weight: np.ndarray, bias: np.ndarray | None) -> None:
        self.count, self.chosen = experts.count, experts.chosen
        self._over_all = not experts.normalized
        self._weight = np.ascontiguousarray(weight)
        self._bias = np.empty(0, np.float32) if bias is None else bias

    @property
    def nbytes(self) -> int:
        """Memory taken."""
        return self._weight.nbytes + self._bias.nbytes

    def __call__(self, h: np.ndarray) -> Route:
        """The routes of tokens that give the experts ``h`` float32 [N, hidden_size]."""
        shape = len(h), self.chosen
        chosen, shares = np.empty(shape, np.int32), np.empty(shape, np.float32)
        route(h, self._weight, self._bias, self._over_all, chosen, shares)
        return Route(chosen, shares)


class _Expert(NamedTuple):
    """The matrices of one expert: of gate and up, two or one, and of down."""

    inputs: tuple[Linear, ...]
    down_proj: Linear


class ExpertFeedForward:
    """The experts of one layer, each loaded when a token first goes to it.

    ``load`` gives the experts' linears then; of a file that is mapped, only the pages of chosen
    experts are read. ``gate`` makes the inputs of down of the outputs of gate and up. The rows of
    one expert's tokens are multiplied together. A token's output is the sum over its experts, in
    the order of their numbers, of output times share, from +0: so it is the same in whatever
    company of tokens, as far as matrices are quantized. Threads may share one.
    """

    def __init__(
        self, experts: Experts, router: Router, gate: Gate, load: Callable[[str], Linear]
    ) -> None:
        self.router = router
        self._experts, self._load, self._gate = experts, load, gate
        self._loaded: dict[int, _Expert] = {}

    @property
    def nbytes(self) -> int:
        """Memory that the router and the experts loaded so far take."""
        loaded = sum(linear.nbytes for expert in self._loaded.values()
                     for linear in (*expert.inputs, expert.down_proj))
        return self.router.nbytes + loaded

    @property
    def step_nbytes(self) -> int:
        """Bytes that a token reads: the router and as many experts as it goes to.

        Of experts that are loaded; none is as long as none is.
        """
        used = self.nbytes - self.router.nbytes
        share = min(1.0, self.router.chosen / max(1, len(self._loaded)))
        return self.router.nbytes + round(used * share)

    @property
    def loaded(self) -> list[int]:
        """The experts that a token has gone to, so that they are loaded."""
        return sorted(self._loaded)

    def load_all(self) -> None:
        """Load every expert."""
        for number in range(self.router.count):
            self._expert(number)

    def __call__(self, h: np.ndarray) -> np.ndarray:
        """Float32 [N, hidden_size] of ``h`` [N, hidden_size], the inputs of all experts."""
        routes = self.router(h)
        out = np.zeros_like(h)
        for expert in np.unique(routes.chosen).tolist():
            tokens, shares = routes.of(expert)
            add_shares(out, tokens, self._through(self._expert(expert), h[tokens]), shares)
        return out

    def _through(self, expert: _Expert, h: np.ndarray) -> np.ndarray:
        return expert.down_proj(self._gate(*(linear(h) for linear in expert.inputs)))

    def _expert(self, number: int) -> _Expert:
        expert = self._loaded.get(number)
        if expert is None:
            inputs, (down,) = self._experts.stages(number)
            expert = _Expert(tuple(map(self._load, inputs)), self._load(down))
            self._loaded[number] = expert   # another thread may have made an equal one
        return expert


def expert_gate(experts: Experts, gate: Gate) -> Gate:
    """The gate of experts; ``gate`` where they have none of their own."""
    if experts.limit is None:
        return gate
    return partial(limited_gate, limit=np.float32(experts.limit))
