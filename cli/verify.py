"""``trilobite verify``: the hardware's RTL beside the runtime, by three commands.

``verify MODEL``, ``verify MODEL --block all`` and ``verify --shape SHAPE`` are the spellings of
version 0.1; they go in the release after the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from .app import app
from .verify_decoder import verify_decoder
from .verify_engine import verify_engine
from .verify_shape import verify_shape

__all__ = ["verify"]

_commands = typer.Typer(rich_markup_mode="rich",
                        context_settings={"help_option_names": ["-h", "--help"]})
_commands.command(
    "engine", epilog="Example: trilobite verify engine demo-bitnet --layer 1",
)(verify_engine)
_commands.command(
    "decoder", epilog="Example: trilobite verify decoder demo-bitnet -p 'def add(' -n 16",
)(verify_decoder)
_commands.command(
    "shape", epilog="Example: trilobite verify shape bitnet-0.73b --phase decode",
)(verify_shape)


class _Verify(TyperGroup):
    """The group of the commands; it takes the former spellings, with a note on standard error."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = get_group(_commands).commands

    def parse_args(
        self, ctx: typer.Context, args: list[str]   # type: ignore[override]
    ) -> list[str]:
        """Translate a former spelling, and parse."""
        if args and args[0] not in (*self.commands, "-h", "--help"):
            args = _translate(args)
            typer.echo(f"Note: write `trilobite verify {args[0]} ...`; the spelling without "
                       f"`{args[0]}` is understood by this release only.", err=True)
        return super().parse_args(ctx, args)


@app.command(cls=_Verify, no_args_is_help=True,   # type: ignore[arg-type]
             epilog="Example: trilobite verify decoder demo-bitnet -p 'def add(' -n 16")
def verify() -> None:
    """Simulate the hardware on a model's weights and compare it with the runtime, bit by bit.

    engine: every sum of a layer's matmuls. decoder: the whole accelerator, prefill and decode,
    every layer's residual stream and every token. shape: the cycles of a full-size model, with
    random weights. Exits with 1 if something differs.
    """


def _translate(args: Sequence[str]) -> list[str]:
    """The arguments as they are spelt now: a command, its model or shape, and the rest."""
    rest: list[str] = []
    said = {"--block": "tlmm", "--shape": ""}
    words = iter(args)
    for word in words:
        name, equals, value = word.partition("=")
        if name in said:
            said[name] = value if equals else next(words, "")
        else:
            rest.append(word)
    if said["--shape"]:
        return ["shape", said["--shape"], *rest]
    blocks = {"tlmm": "engine", "all": "decoder"}
    if said["--block"] not in blocks:
        raise typer.BadParameter(f"--block is tlmm or all, not {said['--block']!r}")
    return [blocks[said["--block"]], *rest]
