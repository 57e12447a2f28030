"""Generated text, shown as it comes."""

from __future__ import annotations

from typing import Any

from ..tools.progress import Silent
from .console import Output

__all__ = ["TextWriter"]


class TextWriter(Silent):
    """Writes the text as it comes, after the prompt if people read it."""

    def __init__(self, output: Output, prompt: str, status: Any) -> None:
        self._output, self._prompt, self._status = output, prompt, status

    def finished(self, item: object) -> None:
        """Write a piece of text."""
        self._begin()
        self._output.stream(str(item))

    def note(self, sentence: str) -> None:
        """Say on standard error why it takes long."""
        self._output.notes.note(sentence)

    def end(self) -> None:
        """The text is complete."""
        self._begin()
        if not self._output.exact:
            self._output.print()

    def _begin(self) -> None:
        if self._status:
            self._status.stop()
            self._status = None
            if not self._output.exact:
                self._output.stream(self._prompt, style="dim")
