"""The application that the commands of this folder register with."""

from __future__ import annotations

from typing import Annotated

import typer

from .. import __version__

__all__ = ["app"]

app = typer.Typer(
    name="trilobite",
    help="From a real language-model checkpoint to bit-exact low-bit hardware and an estimate of "
    "what a device will do with it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"trilobite {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take options that stand before the command."""
