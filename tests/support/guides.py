"""Pages whose blocks of code are run: what they hold, and how it is run.

A block is fenced, and its language says what it is: ``bash`` and ``python`` are run, in the order
of the page, in one folder and with the names of the blocks before; ``text`` is what the block
before it prints, with ``...`` for what differs from run to run. A comment before a block says when
it is run::

    <!-- slow -->               only with --slow
    <!-- slow, else: TEXT -->   TEXT stands for the block without --slow
    <!-- needs PROGRAM -->      only where the program is on PATH
    <!-- exits CODE -->         always, and it ends with this exit code instead of 0
"""

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import trilobite

ROOT = Path(trilobite.__file__).parent
_BLOCK = re.compile(
    r"(?:^<!-- (?P<marker>(?:slow|needs|exits)\b.*?) -->\n)?"
    r"^(?P<fence>```+)(?P<language>\S*)\n(?P<text>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A block of code. ``instead`` is run without --slow where ``slow``; empty: nothing is."""

    language: str
    text: str
    line: int
    slow: bool = False
    instead: str = ""
    needs: str = ""
    code: int = 0


def read_blocks(text):
    """All fenced blocks of a page. Raises ``ValueError`` for a marker that is none."""
    blocks = []
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("fence")) + 1
        marker = found["marker"] or ""
        kind, _, rest = marker.partition(" ")
        slow, needs = kind in ("slow", "slow,"), rest if kind == "needs" else ""
        code = int(rest) if kind == "exits" and rest.isdecimal() else 0
        instead = rest.removeprefix("else: ") if slow and rest else ""
        is_slow = marker == "slow" or (slow and rest.startswith("else: "))
        if marker and not (is_slow or needs or code):
            raise ValueError(f"line {line}: {marker!r} is no marker")
        blocks.append(Block(found["language"], found["text"], line, slow, instead, needs, code))
    return blocks


class Reader:
    """Someone who types the blocks of a page in ``folder``, one after the other."""

    def __init__(self, folder, slow=False):
        self.folder = folder
        self.slow = slow
        self.names = {"__name__": "__main__"}
        self.printed = None   # by the last block; None if it was not run as it stands

    def read(self, block):
        """Run or compare. Raises ``AssertionError`` where that fails."""
        if block.language == "text":
            if self.printed is not None:
                assert_shown(block.text, self.printed)
            return
        text = block.text
        if block.slow and not self.slow:
            text = block.instead + "\n"
        if block.needs and shutil.which(block.needs) is None:
            text = ""
        printed = self._run(block.language, text, block.code) if text.strip() else ""
        self.printed = printed if text == block.text else None

    def _run(self, language, text, code):
        if language == "python":
            printed = io.StringIO()
            with contextlib.chdir(self.folder), contextlib.redirect_stdout(printed):
                exec(compile(text, "<block>", "exec"), self.names)
            return printed.getvalue()
        assert language == "bash", f"{language!r}: blocks are bash, python or text"
        paths = [str(Path(sys.executable).parent), os.environ["PATH"]]
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text], cwd=self.folder, text=True, check=False,
            env=os.environ | {"PATH": os.pathsep.join(paths), "COLUMNS": "120"},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == code, f"exit code {done.returncode}:\n{text}\n{done.stdout}"
        return done.stdout


def assert_shown(shown, printed):
    """Every line of ``shown`` is printed, in this order; ``...`` stands for anything in a line.

    A line that is ``...`` alone stands for any number of lines. Spaces at the ends do not count.
    """
    lines = [line.strip() for line in printed.splitlines()]
    at = 0
    for line in map(str.strip, shown.splitlines()):
        if line in ("", "..."):
            continue
        pattern = re.compile(re.escape(line).replace(r"\.\.\.", ".*"))
        while at < len(lines) and not pattern.fullmatch(lines[at]):
            at += 1
        assert at < len(lines), f"{line!r} is not printed, or not in this place:\n{printed}"
        at += 1
