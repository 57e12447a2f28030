"""What other installed packages add to this one, found by entry points and loaded when needed.

Only packages that are installed count. A folder that merely is the current one is never looked at,
and a module is loaded only from where its package is installed, so that running a command inside
of a stranger's folder runs no code of it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.metadata import Distribution, EntryPoint, distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ..errors import PluginError
from .environment import without_current

__all__ = ["described", "find_plugins", "load_plugin", "plugin_files"]


def find_plugins(group: str) -> dict[str, EntryPoint]:
    """The entry points of ``group`` by name, of all installed packages; nothing is loaded.

    Raises
    ------
    PluginError
        Two packages register the same name.
    """
    found: dict[str, EntryPoint] = {}
    for entry in _entries(group, tuple(without_current(sys.path))):
        other = found.setdefault(entry.name, entry)
        if other is not entry:
            raise PluginError(
                f"The packages {_owner(other)} and {_owner(entry)} both register {entry.name!r} as "
                f"{group}; uninstall one of them"
            )
    return found


def load_plugin(entry: EntryPoint) -> Any:
    """What an entry point names.

    Raises
    ------
    PluginError
        It cannot be imported, or its module lies elsewhere than its package.
    """
    _check_place(entry)
    try:
        return entry.load()
    except Exception as error:   # a stranger's code may raise anything
        raise PluginError(
            f"{described(entry)} cannot be loaded: {type(error).__name__}: {error}"
        ) from error


def plugin_files(group: str, suffix: str) -> dict[str, Path]:
    """The files ending in ``suffix`` in the folders that ``group`` names, by name without it.

    The value of such an entry point is a package; its own name does not matter.

    Raises
    ------
    PluginError
        As ``load_plugin``; a package has no folder; two of them have a file of the same name.
    """
    found: dict[str, Path] = {}
    for entry in find_plugins(group).values():
        for path in sorted(_folder(entry).glob(f"*{suffix}")):
            name = path.name.removesuffix(suffix)
            if found.setdefault(name, path) != path:
                raise PluginError(
                    f"{described(entry)} brings {path}, but {found[name]} is called {name!r} too; "
                    "uninstall one of the two packages"
                )
    return found


def _folder(entry: EntryPoint) -> Path:
    places = list(getattr(load_plugin(entry), "__path__", []))
    if len(places) != 1:
        raise PluginError(f"{described(entry)} is {entry.value!r}, which is no package in a folder")
    return Path(places[0])


def described(entry: EntryPoint) -> str:
    """An entry point and its package, for messages."""
    return f"{entry.name!r} in {entry.group}, of the package {_owner(entry)},"


def _owner(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown"


@cache
def _entries(group: str, paths: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """The entry points of packages installed in ``paths``; of a package found twice the first."""
    packages: dict[str, Distribution] = {}
    for package in distributions(path=list(paths)):
        packages.setdefault(_canonical(package), package)
    return tuple(entry for package in packages.values()
                 for entry in package.entry_points.select(group=group))


def _canonical(package: Distribution) -> str:
    return (package.metadata["Name"] or "").lower().replace("_", "-").replace(".", "-")


def _check_place(entry: EntryPoint) -> None:
    """Raise ``PluginError`` where the module of ``entry`` is not part of its package."""
    name = entry.module.partition(".")[0]
    try:
        spec = find_spec(name)
    except (ImportError, ValueError) as error:
        raise PluginError(f"{described(entry)} cannot be loaded: {error}") from None
    if spec is None:
        raise PluginError(f"{described(entry)} cannot be loaded: there is no module {name!r}")
    homes = [home.resolve() for home in _homes(entry.dist)]
    for place in _places(spec.origin, spec.submodule_search_locations):
        if not any(place.is_relative_to(home) for home in homes):
            raise PluginError(
                f"{described(entry)} would be loaded from {place}, which is not where that package "
                f"is installed ({homes[0]}); run the command from another folder"
            )


def _places(origin: str | None, folders: Sequence[str] | None) -> list[Path]:
    """Where a module would be read from."""
    return [Path(place).resolve() for place in ([origin] if origin else folders or [])]


def _homes(package: Distribution | None) -> Iterator[Path]:
    """Where a package's modules may lie: beside its metadata, or where it is edited."""
    if package is None:
        return
    yield Path(str(package.locate_file("")))
    text = package.read_text("direct_url.json")   # PEP 610
    if text is None:
        return
    try:
        stated = json.loads(text)
        if stated.get("dir_info", {}).get("editable"):
            yield Path(unquote(urlsplit(stated["url"]).path))
    except (ValueError, KeyError, AttributeError):
        return
