"""The application that the commands of this folder register with."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from .. import __version__
from .failures import report, wants_debug

__all__ = ["app"]

# What typer prints itself; the class is not public under a name of its own.
_OF_TYPER: tuple[type[BaseException], ...] = (
    typer.BadParameter.mro()[2], typer.Exit, typer.Abort)


class _Commands(TyperGroup):
    """Commands none of which ends in a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an error is reported, and becomes an exit code."""
        try:
            return super().invoke(ctx)
        except _OF_TYPER:
            raise
        except (Exception, KeyboardInterrupt) as error:
            raise typer.Exit(report(error, wants_debug(ctx.params["debug"]))) from None


app = typer.Typer(
    name="trilobite",
    cls=_Commands,
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
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error (or TRILOBITE_DEBUG=1).")
    ] = False,
) -> None:
    """Take options that stand before the command."""
