"""``trilobite run``: text from an accelerator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from typing_extensions import override

from .app import app
from .console import Output
from .options import (
    Board,
    Json,
    MinP,
    Prompt,
    RepetitionPenalty,
    Seed,
    Temperature,
    TopK,
    TopP,
    Waves,
)
from .text import marked
from .text_writer import TextWriter

if TYPE_CHECKING:
    from ..api.run import BoardRun

__all__ = ["run"]


@app.command(epilog="Example: trilobite run demo-bitnet --on sim -p 'def add(' -n 8 --check")
def run(
    model: Annotated[str, typer.Argument(
        metavar="MODEL", help="A ternary model, demo-bitnet, or a folder that image wrote.")],
    prompt: Prompt,
    new_tokens: Annotated[int, typer.Option("-n", "--new-tokens", help="At most this many.")] = 32,
    on: Board = "sim",
    hardware: Annotated[str | None, typer.Option(
        help="An accelerator, or a .toml file. Default: what the board has; in sim, demo.")] = None,
    context: Annotated[int | None, typer.Option(
        help="Tokens that the image has room for. Default: the prompt's and the new ones.")] = None,
    check: Annotated[bool, typer.Option(
        "--check", help="Compare every token with the runtime's.")] = False,
    temperature: Temperature = 0.0,
    top_k: TopK = 0,
    top_p: TopP = 1.0,
    min_p: MinP = 0.0,
    repetition_penalty: RepetitionPenalty = 1.0,
    seed: Seed = 0,
    waves: Waves = None,
    json: Json = None,
) -> None:
    """Continue a prompt on an accelerator: in a simulation of its RTL, or on a board.

    In a file or a pipe, standard output is the generated text and nothing else. Exits with 1 if
    --check finds another token than the runtime's.
    """
    from ..api.run import run as run_on_board

    output = Output(json)
    with output.status("Reading the model ...") as status:
        writer = _Writer(output, prompt, status)
        result = run_on_board(
            model, prompt, new_tokens, on, hardware, context, check, waves, writer, temperature,
            top_k, top_p, seed, min_p, repetition_penalty)
    writer.end()
    for warning in result.warnings:
        output.aside("{}", warning)
    output.aside("[dim]{}[/]", _summary(result))
    if result.equal is not None:
        _print_check(output, result)
    output.json(result.to_json())
    if result.equal is False:
        raise typer.Exit(1)


class _Writer(TextWriter):
    """Says what is done until there is text."""

    @override
    def doing(self, what: str) -> None:
        if self._status:
            self._status.update(marked("{} ...", what))

    @override
    def start(self, total: float, what: str = "") -> None:
        self.doing(what)


def _summary(result: BoardRun) -> str:
    tokens, cycles = len(result.tokens), result.counters["cycles"]
    return (f"{result.board}: {len(result.prompt_tokens)} tokens of prompt, {tokens} new ones in "
            f"{result.seconds:.1f} s; its last run took {cycles:,} cycles; image loaded in "
            f"{result.load_seconds:.1f} s")


def _print_check(output: Output, result: BoardRun) -> None:
    if result.equal:
        output.aside("[green]Every token is the runtime's.[/]")
        return
    output.aside("[red]The tokens are {}, and the runtime's are {}.[/]", list(result.tokens),
                 list(result.expected or ()))
