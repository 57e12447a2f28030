"""What ``--help`` lists out of the registries, and options that have become part of another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import typer
from rich.table import Table
from typer.core import TyperCommand

from .console import make_console, make_table

__all__ = ["FORMAT_OPTIONS", "command_class", "descriptions_table", "formats_table",
           "methods_table", "targets_table"]

# Options of former versions, and what to write for them.
FORMAT_OPTIONS = {
    "--group-size": "--format int4,group_size=64",
    "--symmetric": "--format int3,symmetric",
    "--asymmetric": "--format int4,asymmetric",
    "--packing": "--format ternary,packing=2bit",
    "--granularity": "--format fp8,granularity=tensor",
    "--scale-rule": "--format mxfp4,scale_rule=floor",
    "--tensor-scale": "--format int4-fp8,tensor_scale=fireq",
    "--planes": "--format ternary-planes",
}


def command_class(
    *tables: Callable[[], Table], retired: Mapping[str, str] | None = None
) -> type[TyperCommand]:
    """A class of command whose help ends with ``tables``, made only then.

    An option out of ``retired`` is refused with what to write for it.
    """

    class Command(TyperCommand):
        """A command with lists in its help."""

        def format_help(self, ctx: Any, formatter: Any) -> None:
            super().format_help(ctx, formatter)
            console = make_console()
            for table in tables:
                console.print(table())

        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            _refuse_retired(args, retired or {})
            return super().parse_args(ctx, args)

    return Command


class _RetiredOption(typer.BadParameter):
    """An option of a former version."""

    def format_message(self) -> str:
        return self.message


def _refuse_retired(args: Sequence[str], retired: Mapping[str, str]) -> None:
    for arg in args:
        if arg == "--":
            return
        option = arg.partition("=")[0]
        if option in retired:
            raise _RetiredOption(
                f"{option} is an option of the format now; write, for example, "
                f"{retired[option]}"
            )


def formats_table() -> Table:
    """The number formats, each with its options."""
    from ..quant.formats import FORMATS
    from ..quant.formats.grammar import usage

    table = make_table("format", "options, behind a comma each", title="Formats")
    for name in FORMATS.own:
        table.add_row(name, usage(name))
    for name, package in FORMATS.packages().items():
        table.add_row(name, f"of the package {package}")
    return table


def methods_table() -> Table:
    """The methods, each with what it needs and the formats that it makes."""
    from ..quant.formats import FORMATS
    from ..quant.methods import METHODS, ROUNDING

    table = make_table("method", "text", "formats", title="Methods")
    table.add_row(ROUNDING, "none", "all")
    for name in METHODS.own:
        method = METHODS[name]
        able = [one for one in FORMATS.own if issubclass(FORMATS[one], method.formats)]
        table.add_row(name, "needed" if method.calibrates else "none", ", ".join(able))
    for name, package in METHODS.packages().items():
        table.add_row(name, "", f"of the package {package}")
    return table


def targets_table() -> Table:
    """The targets of ``export``, each with its types, the default first."""
    from ..api.export import targets

    table = make_table("target", "types", title="Targets")
    for name, types in targets().items():
        table.add_row(name, types)
    return table


def descriptions_table() -> Table:
    """What ``--device``, ``--hardware`` and names of models' shapes may be, without .toml files."""
    from ..sim.descriptions.tables import bundled_names, own_names
    from ..tools.plugins import find_plugins

    table = make_table("description", "names", title="Descriptions")
    for folder in ("devices", "accelerators", "shapes"):
        table.add_row(folder, ", ".join([*bundled_names(folder), *own_names(folder)]))
        for package in sorted({entry.dist.name for entry in
                               find_plugins(f"trilobite.{folder}").values() if entry.dist}):
            table.add_row("", f"and those of the package {package}")
    return table
