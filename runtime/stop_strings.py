"""Stop strings: a text ends before the first of them, and no part of one is shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..errors import TrilobiteError

__all__ = ["StopStrings"]

_MOST = 64   # strings; each piece of text is compared with all of them


class StopStrings:
    """Cuts a stream of text before the first of ``strings``.

    Attributes
    ----------
    found
        The string that ended the text, or None.

    Raises
    ------
    TrilobiteError
        A string is empty, or there are more than 64.
    """

    def __init__(self, strings: Sequence[str] = ()) -> None:
        if len(strings) > _MOST:
            raise TrilobiteError(f"At most {_MOST} stop strings are taken, not {len(strings)}")
        if "" in strings:
            raise TrilobiteError("A stop string must not be empty")
        self._strings = tuple(strings)
        self.found: str | None = None
        self._waiting = ""

    def cut(self, pieces: Iterator[str]) -> Iterator[str]:
        """``pieces`` up to a stop string; what may be the beginning of one waits until it is not.

        After a stop string nothing more is taken from ``pieces``.
        """
        for piece in pieces:
            if shown := self.push(piece):
                yield shown
            if self.found is not None:
                return
        if self._waiting:
            yield self.end()

    def push(self, piece: str) -> str:
        """What can be shown now that ``piece`` is there; ``found`` is set if it ends the text."""
        text = self._waiting + piece
        hits = [(at, -len(stop), stop) for stop in self._strings if (at := text.find(stop)) >= 0]
        if hits:
            safe, _, self.found = min(hits)   # of two at one place the longer
            self._waiting = ""
        else:
            safe = len(text) - self._possible(text)
            self._waiting = text[safe:]
        return text[:safe]

    def end(self) -> str:
        """What waits, now that nothing more comes."""
        waiting, self._waiting = self._waiting, ""
        return waiting

    def _possible(self, text: str) -> int:
        """The length of the longest end of ``text`` that a stop string begins with."""
        return max((
            length for stop in self._strings
            for length in range(1, min(len(stop), len(text) + 1))
            if text.endswith(stop[:length])
        ), default=0)
