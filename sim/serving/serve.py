"""The event loop: requests arrive, the policy chooses a batch, the batch runs, tokens come out."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence

from ...errors import EstimateError
from ...tools.progress import SILENT
from ...tools.progress import Progress as Watcher
from ..formulas.workload import model_bytes
from .batch import Batch, Piece, Policy, Progress
from .costs import BatchCosts
from .requests import Request
from .results import Served, Serving

__all__ = ["serve"]


def serve(
    costs: BatchCosts, requests: Sequence[Request], policy: Policy, slots: int = 8,
    progress: Watcher = SILENT,
) -> Serving:
    """Run ``requests`` under ``policy``, at most ``slots`` of them at once.

    ``progress`` counts requests that are served.

    Raises
    ------
    EstimateError
        There is no request or slot, a request is longer than the model's context, or the caches of
        the ``slots`` longest do not fit the memory beside the weights.
    """
    _check(costs, requests, slots)
    progress.start(len(requests), policy.name)
    return _Loop(costs, requests, policy, slots, progress).run()


def _check(costs: BatchCosts, requests: Sequence[Request], slots: int) -> None:
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
    layout = costs.machine.hardware.layout(costs.config, 1)
    cache = 2 * costs.config.num_layers * layout.kv_bytes(costs.config, sum(lengths[:slots]))
    needed = model_bytes(costs.config, layout) + cache
    capacity = costs.machine.device.dram.capacity.count
    if needed > capacity:
        raise EstimateError(
            f"weights and the caches of {min(slots, len(lengths))} requests need "
            f"{needed / 1e9:.2f} GB; the memory of {costs.machine.device.name} holds "
            f"{capacity / 1e9:.2f} GB: use fewer slots"
        )


class _Loop:
    """The state of one run."""

    def __init__(
        self, costs: BatchCosts, requests: Sequence[Request], policy: Policy, slots: int,
        watcher: Watcher,
    ) -> None:
        self.watcher = watcher
        self.costs, self.policy, self.slots = costs, policy, slots
        self.coming = sorted(requests, key=lambda request: request.arrival)
        self.coming.reverse()   # the next is popped from the end
        self.waiting: list[Progress] = []
        self.running: list[Progress] = []
        self.served: list[Served] = []
        self.now = self.busy = self.joules = 0.0
        self.batches = 0

    def run(self) -> Serving:
        while self.coming or self.waiting or self.running:
            self._admit()
            if not self.waiting and not self.running:
                arrival = self.coming[-1].arrival
                self.joules += self.costs.idle(arrival - self.now)
                self.now = arrival
                continue
            layers = self.costs.config.num_layers
            self._execute(self.policy.batch(self.waiting, self.running, layers))
        return Serving(
            self.policy.name, tuple(self.served), self.now, self.busy, self.joules, self.batches
        )

    def _admit(self) -> None:
        """Let in who has arrived, while there are slots."""
        while (
            self.coming and self.coming[-1].arrival <= self.now
            and len(self.waiting) + len(self.running) < self.slots
        ):
            request = self.coming.pop()
            progress = Progress(request, alone=0.0)
            whole = Piece(progress, request.prompt, 0, 0, self.costs.config.num_layers, True)
            progress.alone = self.costs.cost([whole])[0]
            self.waiting.append(progress)

    def _execute(self, batch: Batch) -> None:
        """Run ``batch``, to its end or to where it is preempted."""
        sequence = self.costs.sequence(batch)
        if batch.preemptible:
            progress = batch.pieces[0].progress
            rest = sequence[progress.operators:]
            ends = list(itertools.accumulate((seconds for seconds, _ in rest), initial=self.now))
            arrival = self.coming[-1].arrival if self._takes_more() else float("inf")
            done = min(bisect.bisect_left(ends, arrival, 1), len(rest))
            progress.operators += done
            sequence = rest[:done]
        seconds = sum(cost[0] for cost in sequence)
        self.now += seconds
        self.busy += seconds
        self.joules += sum(cost[1] for cost in sequence)
        self.batches += 1
        if not batch.preemptible or len(sequence) == len(rest):
            for piece in batch.pieces:
                self._finish(piece)

    def _takes_more(self) -> bool:
        """Whether an arrival would be let in."""
        return bool(self.coming) and len(self.waiting) + len(self.running) < self.slots

    def _finish(self, piece: Piece) -> None:
        """Note what ``piece`` has done for its request."""
        progress, layers = piece.progress, self.costs.config.num_layers
        if progress.generated == 0:
            progress.layers = piece.last % layers
            if piece.last == layers:
                progress.prefilled += piece.tokens
        if not piece.yields:
            return
        progress.tokens.append(self.now)
        if progress.generated == 1:
            self.waiting.remove(progress)
            self.running.append(progress)
        if progress.generated == progress.request.output:
            self.running.remove(progress)
            self.served.append(Served(progress.request, tuple(progress.tokens)))
            self.watcher.advance()
