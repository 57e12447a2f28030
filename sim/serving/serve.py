"""The event loop: requests arrive, the policy chooses a batch, the batch runs, tokens come out.

Of a request that is served two numbers stay, however many tokens it had.
"""

from __future__ import annotations

import bisect
import itertools
from array import array
from collections.abc import Callable, Sequence

import numpy as np

from ...errors import EstimateError
from ...tools.progress import SILENT, Progress
from .batch import Batch, Piece, Policy, RequestProgress
from .costs import ServingCosts
from .requests import Request
from .results import Serving

__all__ = ["Observer", "serve"]

Observer = Callable[[Request, float], None]   # whose token came, and when: seconds after the start


def serve(
    costs: ServingCosts, requests: Sequence[Request], policy: Policy, slots: int = 8,
    progress: Progress = SILENT, observe: Observer | None = None,
) -> Serving:
    """Run ``requests`` under ``policy``, at most ``slots`` of them at once.

    ``progress`` counts requests that are served; ``observe`` is told of every token.

    Raises
    ------
    EstimateError
        There is no request or slot, a request is longer than the model's context, or the caches of
        the ``slots`` longest do not fit the memory beside the weights.
    """
    _check(costs, requests, slots)
    progress.start(len(requests), policy.name)
    return _Loop(costs, requests, policy, slots, progress, observe).run()


def _check(costs: ServingCosts, requests: Sequence[Request], slots: int) -> None:
    if not requests or slots < 1:
        raise EstimateError(
            f"at least 1 request and 1 slot are needed, not {len(requests)} and {slots}"
        )
    lengths = sorted((one.prompt + one.output for one in requests), reverse=True)
    longest = costs.config.max_position_embeddings
    if lengths[0] > longest:
        raise EstimateError(
            f"a request has {lengths[0]} tokens, prompt and output; the model holds {longest}"
        )
    needed, capacity = costs.needed_bytes(sum(lengths[:slots])), costs.capacity
    if needed > capacity:
        raise EstimateError(
            f"weights and the caches of {min(slots, len(lengths))} requests need "
            f"{needed / 1e9:.2f} GB; the memory of {costs.device_name} holds "
            f"{capacity / 1e9:.2f} GB: use fewer slots"
        )


class _Loop:
    """The state of one run."""

    def __init__(
        self, costs: ServingCosts, requests: Sequence[Request], policy: Policy, slots: int,
        watcher: Progress, observe: Observer | None,
    ) -> None:
        self.watcher, self.observe = watcher, observe
        self.costs, self.policy, self.slots = costs, policy, slots
        self.coming = sorted(requests, key=lambda request: request.arrival)
        self.coming.reverse()   # the next is popped from the end
        self.waiting: list[RequestProgress] = []
        self.running: list[RequestProgress] = []
        self.first_token, self.per_token = array("d"), array("d")
        self.now = self.busy = self.joules = self.longest_pause = 0.0
        self.batches = self.tokens = 0
        self.backlog: int | None = None   # requests without a slot when the last one has arrived

    def run(self) -> Serving:
        while self.coming or self.waiting or self.running:
            self._admit()
            if self.waiting:
                layers = self.costs.config.num_layers
                self._execute(self.policy.batch(self.waiting, self.running, layers))
            elif self.running:
                self._decode()
            else:
                arrival = self.coming[-1].arrival
                self.joules += self.costs.idle(arrival - self.now)
                self.now = arrival
        return Serving(
            self.policy.name, np.array(self.first_token), np.array(self.per_token), self.tokens,
            self.longest_pause, self.now, self.busy, self.joules, self.batches,
            self.backlog or 0, self.slots,
        )

    def _admit(self) -> None:
        """Let in who has arrived, while there are slots."""
        if self.backlog is None and self.coming and self.coming[0].arrival <= self.now:
            free = self.slots - len(self.waiting) - len(self.running)
            self.backlog = max(0, len(self.coming) - free)
        while self._next_arrival() <= self.now:
            request = self.coming.pop()
            progress = RequestProgress(request, alone=0.0)
            whole = Piece(progress, request.prompt, 0, 0, self.costs.config.num_layers, True)
            progress.alone = self.costs.cost([whole])[0]
            self.waiting.append(progress)

    def _next_arrival(self) -> float:
        """When the next request is let in, as far as one knows now."""
        free = len(self.waiting) + len(self.running) < self.slots
        return self.coming[-1].arrival if self.coming and free else float("inf")

    def _execute(self, batch: Batch) -> None:
        """Run ``batch``, to its end or to where it is preempted."""
        if not batch.preemptible:
            self._pass(*self.costs.cost(batch.pieces))
        elif self._is_preempted(batch):
            return
        for piece in batch.pieces:
            self._finish(piece)

    def _is_preempted(self, batch: Batch) -> bool:
        """Run a prefill up to the end, or to the first operator boundary after an arrival."""
        progress = batch.pieces[0].progress
        rest = self.costs.sequence(batch)[progress.operators:]
        seconds, joules = zip(*rest, strict=True)
        ends = list(itertools.accumulate(seconds, initial=self.now))
        done = min(bisect.bisect_left(ends, self._next_arrival(), 1), len(rest))
        progress.operators += done
        self._pass(sum(seconds[:done]), sum(joules[:done]))
        return done < len(rest)

    def _decode(self) -> None:
        """Tokens of all that generate, until one of them ends or another request is let in."""
        running, arrival = self.running, self._next_arrival()
        pasts = [one.context for one in running]
        first = pause = 0.0
        steps = 0
        for steps in range(1, 1 + min(one.request.output - one.generated for one in running)):
            before = self.now
            self._pass(*self.costs.decode(pasts))
            if steps == 1:
                first = self.now
            else:
                pause = max(pause, self.now - before)
            pasts = [past + 1 for past in pasts]
            self._tell(running)
            if arrival <= self.now:
                break
        for one in tuple(running):
            one.came(steps, self.now, max(pause, first - one.last))
            self._end(one)

    def _pass(self, seconds: float, joules: float) -> None:
        """A batch has run."""
        self.now += seconds
        self.busy += seconds
        self.joules += joules
        self.batches += 1

    def _finish(self, piece: Piece) -> None:
        """Note what ``piece`` has done for its request."""
        progress, layers = piece.progress, self.costs.config.num_layers
        if progress.generated == 0:
            progress.layers = piece.last % layers
            if piece.last == layers:
                progress.prefilled += piece.tokens
        if not piece.yields:
            return
        if progress.generated == 0:
            self.waiting.remove(progress)
            self.running.append(progress)
        progress.came(1, self.now, self.now - progress.last)
        self._tell([progress])
        self._end(progress)

    def _tell(self, those: Sequence[RequestProgress]) -> None:
        """A token came for each of ``those``."""
        if self.observe is not None:
            for one in those:
                self.observe(one.request, self.now)

    def _end(self, progress: RequestProgress) -> None:
        """Keep the figures of a request, if all its tokens came."""
        if progress.generated < progress.request.output:
            return
        self.running.remove(progress)
        self.first_token.append(progress.first - progress.request.arrival)
        if progress.generated > 1:
            self.per_token.append(
                (progress.last - progress.first) / (progress.generated - 1))
        self.tokens += progress.generated
        self.longest_pause = max(self.longest_pause, progress.pause)
        self.watcher.advance()
