"""Where a prompt comes from: the option itself, a file, or standard input."""

from __future__ import annotations

import sys
from pathlib import Path

from ..errors import TrilobiteError

__all__ = ["prompt_text"]


def prompt_text(prompt: str | None, file: Path | None) -> str:
    """The text of ``--prompt`` (``-`` is standard input, ``@FILE`` a file) or ``--prompt-file``.

    Raises ``TrilobiteError`` unless exactly one of them is given, and its text is UTF-8.
    """
    from ..runtime.text import read_text

    if (prompt is None) == (file is None):
        raise TrilobiteError(
            "Give the text to continue: either --prompt (-p) or --prompt-file"
            + (", not both" if file is not None else "")
        )
    if file is not None:
        return read_text(file)
    assert prompt is not None, "one of the two is given"
    if prompt == "-":
        try:
            return sys.stdin.buffer.read().decode("utf-8")
        except UnicodeDecodeError as error:
            raise TrilobiteError(f"Standard input is not UTF-8 text: {error}") from None
    return read_text(Path(prompt[1:])) if prompt.startswith("@") else prompt
