"""Writes docs/reference/json.md: the keys that commands write with ``--json``.

    python docs/extensions/json_reference.py          # runs the commands, rewrites the page
    python docs/extensions/json_reference.py synth    # only the sections of these commands

Keys and types are those that the commands write; what a key means is in docs/reference/json.toml,
which must know every key and no other. ``a.b`` is the key ``b`` of the object ``a``, ``a[]`` is
each element of the array ``a``, and ``a.*`` each value of an object whose keys are names. An object
or array that has a meaning, while nothing in it has one, is described as a whole.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from trilobite.cli import app as application

__all__ = ["COMMANDS", "SLOW", "read_meanings", "section", "sections", "types", "written"]

REFERENCE = Path(__file__).parents[1] / "reference"
SHAPE = Path(__file__).with_name("small-shape.toml")
PAGE, MEANINGS = REFERENCE / "json.md", REFERENCE / "json.toml"

# What is run for a command's section; another command before it makes what it needs.
COMMANDS: dict[str, tuple[str, ...]] = {
    "quantize": ("quantize demo-llama -o out --format int4",
                 "quantize demo-llama -o less --target-bpw 4 --dry-run"),
    "export": ("export demo-bitnet --to gguf -o out.gguf",),
    "generate": ("generate demo-bitnet -p def -n 2", "generate demo-bitnet -p def -n 1"),
    "chat": ("chat demo-llama --template chatml --system def -n 2",),
    "bench": ("bench demo-bitnet --context 16 --prompt 16 --steps 2",),
    "evaluate": ("evaluate demo-bitnet --tokens 600",),
    "inspect": ("quantize demo-bitnet -o out --format ternary", "inspect out",
                "inspect demo-bitnet"),
    "verify engine": ("verify engine demo-bitnet --tokens 1",),
    "verify decoder": ("verify decoder demo-bitnet -p def -n 1",),
    "verify shape": (
        f"verify shape {SHAPE} --hardware demo --phase decode --context 16",),
    "calibrate": ("calibrate -o out.toml",),
    "synth": ("synth --device kv260 --block row-sink", "synth --timing row-sink float-add"),
    "image": ("image demo-bitnet -o image --context 16",),
    "run": ("run demo-bitnet -p def -n 1", "run demo-bitnet -p def -n 1 --check"),
    "self-test": ("self-test",),
    "serve-sim": ("serve-sim bitnet-0.73b --requests 3",),
    "explore": ("explore bitnet-0.73b --points 1000",),
    "devices": ("devices kv260",),
    "study": ("study", "study kv-direct"),
}
# Of minutes.
SLOW = ("run", "self-test", "verify engine", "verify decoder", "verify shape", "calibrate", "synth")

HEAD = """\
# JSON

This page lists the keys that commands write with `--json PATH`; [the report](report.md) has those
of `trilobite estimate`. `a.b` is the key `b` of the object `a`, `a[]` is each element of the array
`a`, and `a.*` is each value of an object whose keys are names. The program
`docs/extensions/json_reference.py` writes this page from what the commands write, and the tests
compare it.
"""


def types(value: Any, meanings: Mapping[str, str], path: str = "") -> Iterator[tuple[str, str]]:
    """Each key's path and type in ``value``, as far down as ``meanings`` go."""
    inside = any(known.startswith((f"{path}.", f"{path}[]")) for known in meanings)
    described = path in meanings and not inside
    if isinstance(value, dict) and not described:
        for key, held in value.items():
            below = f"{path}.{key}" if path else key
            named = any(known.startswith(f"{path}.*") for known in meanings)
            yield from types(held, meanings, f"{path}.*" if named else below)
    elif isinstance(value, list) and any(isinstance(one, dict) for one in value) and not described:
        for one in value:
            yield from types(one, meanings, f"{path}[]")
    else:
        yield path, _name(value)


def _name(value: Any) -> str:
    """A type as JSON has it."""
    if isinstance(value, list):
        kinds = sorted({_name(one) for one in value})
        return f"array of {' or '.join(kinds)}" if kinds else "array"
    names = {bool: "boolean", int: "integer", float: "number", str: "string", dict: "object"}
    return "null" if value is None else names[type(value)]


def section(name: str, values: Iterable[Any], meanings: Mapping[str, str]) -> str:
    """The section of a command that wrote ``values``.

    Raises ``ValueError`` for a key without a meaning, and for a meaning without a key.
    """
    found: dict[str, set[str]] = {}
    for value in values:
        for path, kind in types(value, meanings):
            found.setdefault(path, set()).add(kind)
    if found.keys() != meanings.keys():
        raise ValueError(f"{MEANINGS.name} and what {name} writes differ in "
                         f"{', '.join(sorted(found.keys() ^ meanings.keys()))}")
    rows = [f"| `{path}` | {_joined(found[path])} | {text} |" for path, text in meanings.items()]
    return "\n".join([f"## {name}", "", "| key | type | meaning |", "|---|---|---|", *rows, ""])


def _joined(kinds: set[str]) -> str:
    if any(kind.startswith("array of") for kind in kinds):
        kinds = kinds - {"array"}
    if "number" in kinds:
        kinds = kinds - {"integer"}
    return " or ".join(sorted(kinds, key=lambda kind: (kind == "null", kind)))


def read_meanings() -> dict[str, dict[str, str]]:
    """Meanings by command and key."""
    return tomllib.loads(MEANINGS.read_text(encoding="utf-8"))


def written(name: str, folder: Path) -> list[Any]:
    """What the command ``name`` writes; files go to ``folder``."""
    results = []
    for command in COMMANDS[name]:
        with contextlib.chdir(folder):
            words = [*shlex.split(command), "--json", "result.json"]
            done = CliRunner().invoke(application, words, input="def\n")
        if done.exit_code:
            raise RuntimeError(f"trilobite {command}: {done.output}")
        if f"{command} ".startswith(f"{name} "):
            results.append(json.loads((folder / "result.json").read_text(encoding="utf-8")))
    return results


def sections() -> dict[str, str]:
    """The page's sections as they are, by command."""
    parts = PAGE.read_text(encoding="utf-8").split("\n## ")[1:]
    return {part.partition("\n")[0]: f"## {part.rstrip()}\n" for part in parts}


def main() -> None:
    """Write the page anew, or the sections of the commands that are named."""
    meanings = read_meanings()
    texts = sections() if PAGE.exists() else {}
    for name in sys.argv[1:] or COMMANDS:
        with tempfile.TemporaryDirectory() as folder:
            texts[name] = section(name, written(name, Path(folder)), meanings[name])
    ordered = [texts[name] for name in COMMANDS if name in texts]
    PAGE.write_text("\n".join([HEAD, *ordered]), encoding="utf-8")


if __name__ == "__main__":
    main()
