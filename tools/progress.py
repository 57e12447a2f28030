"""How long work tells whoever waits how far it has come: one protocol for the whole package."""

from __future__ import annotations

from typing import Protocol

__all__ = ["SILENT", "PartOfWork", "Progress", "Silent"]


class Progress(Protocol):
    """Who is told how far a piece of work has come.

    Any method may raise to stop the work: it then ends as by any other error, with nothing
    half-written. Work calls them from the thread that it was called in.
    """

    def start(self, total: float, what: str = "") -> None:
        """Work begins that ``advance`` will count up to ``total``, called ``what`` if not empty.

        The unit is the work's own: bytes, tokens, runs.
        """

    def advance(self, amount: float = 1) -> None:
        """``amount`` more of the total is done."""

    def doing(self, what: str) -> None:
        """Say that ``what`` is being done from now on."""

    def finished(self, item: object) -> None:
        """A result that is worth a line is there, such as a ``TensorRecord`` of ``quantize``."""

    def note(self, sentence: str) -> None:
        """Something worth knowing that stands in no result."""


class Silent:
    """Progress that nobody watches; the base of a class that watches some of it."""

    def start(self, total: float, what: str = "") -> None:
        """Ignore it."""

    def advance(self, amount: float = 1) -> None:
        """Ignore it."""

    def doing(self, what: str) -> None:
        """Ignore it."""

    def finished(self, item: object) -> None:
        """Ignore it."""

    def note(self, sentence: str) -> None:
        """Ignore it."""


SILENT: Progress = Silent()


class PartOfWork:
    """Progress of one part of a larger work: all that the part starts is ``amount`` of the whole.

    The larger work calls ``whole.start`` itself; what is being done, results and notes pass
    through.
    """

    def __init__(self, whole: Progress, amount: float = 1) -> None:
        self._whole, self._amount = whole, amount
        self._scale = 0.0

    def start(self, total: float, what: str = "") -> None:
        """Let the part's ``total`` be ``amount`` of the whole; ``what`` is being done."""
        self._scale = self._amount / total if total > 0 else 0.0
        if what:
            self._whole.doing(what)

    def advance(self, amount: float = 1) -> None:
        """``amount`` more of the part's total is done."""
        self._whole.advance(amount * self._scale)

    def doing(self, what: str) -> None:
        """Say that ``what`` is being done from now on."""
        self._whole.doing(what)

    def finished(self, item: object) -> None:
        """A result is there."""
        self._whole.finished(item)

    def note(self, sentence: str) -> None:
        """Something worth knowing."""
        self._whole.note(sentence)
