"""The engine: one thread that decodes the next token of all running requests in one pass.

A pass reads the weights once for all of them, which is what a decode step waits for. Prompts are
fed between passes, a chunk of one request at a time (SARATHI: Agrawal et al. 2023, arXiv
2308.16369, without its fusing of both), so that a long prompt does not hold up who is answered.
Logits are those that each request would get alone: see ``Decoder.step`` for how exactly.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from ...errors import TrilobiteError
from ..language_model import LanguageModel
from ..sampling import Sampling
from .request import Event, Failed, Request

__all__ = ["BusyError", "Engine"]

_CHUNK = 128   # prompt tokens between two passes


class BusyError(TrilobiteError):
    """As many requests wait as may wait."""


class Engine:
    """Answers requests, several at a time; ``close`` ends its thread. A context manager.

    Parameters
    ----------
    model
        Loaded.
    sequences
        Requests that are decoded together.
    waiting
        Requests that may wait for a place; more are refused.
    """

    def __init__(self, model: LanguageModel, sequences: int = 4, waiting: int = 64) -> None:
        if sequences < 1:
            raise TrilobiteError(f"At least one sequence must run at a time, not {sequences}")
        if waiting < 0:
            raise TrilobiteError(f"The requests that may wait are 0 or more, not {waiting}")
        self.model = model
        self._places, self._most = sequences, sequences + waiting
        self._waiting: deque[Request] = deque()
        self._running: list[Request] = []
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="trilobite-engine", daemon=True)
        self._thread.start()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop after the pass that runs; requests that are not answered fail."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def submit(
        self, prompt: list[int], new_tokens: int, emit: Callable[[Event], None],
        sampling: Sampling | None = None, stop: Sequence[str] = (),
    ) -> Request:
        """Ask for the continuation of token ids ``prompt``.

        ``emit`` gets every event of the answer, from the engine's thread.

        Raises ``TrilobiteError`` if prompt and new tokens exceed the model's positions or a stop
        string is none, and ``BusyError`` if too many requests wait.
        """
        positions = self.model.config.max_position_embeddings
        if not prompt:
            raise TrilobiteError("The prompt is empty and the model has no begin token")
        if new_tokens < 1:
            raise TrilobiteError(f"New tokens must be at least 1, not {new_tokens}")
        if len(prompt) + new_tokens > positions:
            raise TrilobiteError(
                f"The prompt has {len(prompt)} tokens and {new_tokens} new ones are asked for, but "
                f"the model was made for at most {positions} positions"
            )
        request = Request.asked(
            self.model.tokenizer, prompt, new_tokens, sampling or Sampling(), stop, emit
        )
        with self._changed:
            if self._closed:
                raise TrilobiteError("The engine has been closed")
            if len(self._running) + len(self._waiting) >= self._most:
                raise BusyError(f"{self._most} requests run and wait already; try again later")
            self._waiting.append(request)
            self._changed.notify()
        return request

    def cancel(self, request: Request) -> None:
        """Nobody waits for this answer any more; no event follows."""
        with self._changed:
            request.cancelled = True
            self._changed.notify()

    @property
    def load(self) -> tuple[int, int]:
        """How many requests run, and how many wait."""
        with self._changed:
            return len(self._running), len(self._waiting)

    def _work(self) -> None:
        try:
            while self._admit():
                self._pass()
            reason = "The server is shutting down"
        except Exception as error:   # a bug of ours; nobody must wait for ever because of it
            reason = f"The server has failed: {type(error).__name__}: {error}"
        with self._changed:
            self._closed = True
            left = [*self._running, *self._waiting]
        for request in left:
            with contextlib.suppress(Exception):   # who listened may have gone before us
                request.tell(Failed(reason))

    def _pass(self) -> None:
        """Feed a chunk of one prompt, and decode a token of each request that is answered."""
        for request in [one for one in self._running if one.fed < len(one.prompt)][:1]:
            self._alone(request, self._feed)
        answering = [one for one in self._running if one.generated]
        if answering:
            self._together(answering)

    def _admit(self) -> bool:
        """Wait until there is work, and give free places to who waits; False when closed."""
        with self._changed:
            while True:
                self._running = [one for one in self._running if not one.cancelled]
                while self._waiting and len(self._running) < self._places:
                    request = self._waiting.popleft()
                    if not request.cancelled:
                        self._running.append(request)
                if self._closed or self._running:
                    return not self._closed
                self._changed.wait()

    def _feed(self, request: Request) -> None:
        """Feed a chunk of a prompt; its end gives the first token."""
        if request.session is None:
            request.session = self.model.session(len(request.prompt) + request.new_tokens)
        chunk = request.prompt[request.fed:request.fed + _CHUNK]
        logits = request.session.prefill(chunk)
        request.fed += len(chunk)
        if request.fed == len(request.prompt):
            self._take(request, logits)

    def _together(self, requests: list[Request]) -> None:
        """Decode the next token of each of ``requests``."""
        try:
            logits = self.model.step(
                [one.session for one in requests if one.session is not None],
                [one.generated[-1] for one in requests],
            )
        except TrilobiteError:   # of one of them; alone, each finds out whether it is the one
            for request in requests:
                self._alone(request, self._step)
            return
        for request, row in zip(requests, logits, strict=True):
            self._take(request, row)

    def _step(self, request: Request) -> None:
        assert request.session is not None, "its prompt was fed"
        self._take(request, request.session.feed(request.generated[-1:])[0])

    def _alone(self, request: Request, work: Callable[[Request], None]) -> None:
        """Do ``work`` on a request, which an error ends."""
        try:
            work(request)
        except (TrilobiteError, MemoryError) as error:
            self._leave(request)
            request.tell(Failed(str(error) or "There is not enough memory"))

    def _take(self, request: Request, logits: np.ndarray) -> None:
        if request.take(request.sampler(logits)):
            self._leave(request)

    def _leave(self, request: Request) -> None:
        with self._changed:
            if request in self._running:
                self._running.remove(request)
