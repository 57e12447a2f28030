"""Things by name: those of this package, a line for each, and those of installed packages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any, Generic, TypeVar

from ..errors import PluginError, TrilobiteError
from .plugins import described, find_plugins, load_plugin

__all__ = ["Registry", "instance_of"]

Thing = TypeVar("Thing")


class Registry(Mapping[str, Thing], Generic[Thing]):
    """A mapping from names to things, each imported when it is first asked for.

    Parameters
    ----------
    kind
        What a thing is, for messages: "Number format".
    group
        The group of entry points under which other packages register theirs.
    package
        ``__package__`` of the module that holds the table.
    own
        The table: ``module:attribute`` by name, as entry points have it; the module is relative
        to ``package``. A name of this table cannot be taken by another package.
    wrong
        Given a name and what was loaded for it, says what is wrong with that, or None.
    error
        The error that an unknown name raises.

    Iterating gives the names, this package's first, and loads nothing.
    """

    def __init__(
        self, kind: str, group: str, package: str, own: Mapping[str, str],
        wrong: Callable[[str, Any], str | None], error: type[TrilobiteError],
    ) -> None:
        self._kind, self._group, self._package = kind, group, package
        self._own, self._wrong, self._error = own, wrong, error

    @property
    def own(self) -> list[str]:
        """The names of this package's own things."""
        return list(self._own)

    def packages(self) -> dict[str, str]:
        """The package that each plugin comes from, by the plugin's name."""
        found = find_plugins(self._group)
        return {name: entry.dist.name for name, entry in found.items()
                if entry.dist and name not in self._own}

    def find(self, name: object) -> Thing:
        """The thing called ``name``.

        Raises
        ------
        TrilobiteError
            There is none (the error of the registry).
        PluginError
            It belongs to another package and cannot be loaded, or is not such a thing.
        """
        if isinstance(name, str):
            if name in self._own:
                return self._checked(name, self._import(self._own[name]), f"{self._own[name]!r}")
            entry = find_plugins(self._group).get(name)
            if entry is not None:
                return self._checked(name, load_plugin(entry), described(entry))
        raise self._error(f"{self._kind} {name!r} is unknown; known are {', '.join(self)}")

    def _import(self, place: str) -> Any:
        module, _, attribute = place.partition(":")
        return getattr(import_module(module, self._package), attribute)

    def _checked(self, name: str, thing: Any, where: str) -> Thing:
        problem = self._wrong(name, thing)
        if problem:
            raise PluginError(f"{where} {problem}")
        return thing

    def __getitem__(self, name: str) -> Thing:
        """Return what ``find`` does, but raise ``KeyError`` for an unknown name."""
        if name not in self:
            raise KeyError(name)
        return self.find(name)

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in find_plugins(self._group)

    def __iter__(self) -> Iterator[str]:
        yield from self._own
        yield from self.packages()

    def __len__(self) -> int:
        return len(list(iter(self)))


def instance_of(kind: type) -> Callable[[str, Any], str | None]:
    """A ``wrong`` for things that are instances of ``kind`` and say their own ``name``."""

    def wrong(name: str, thing: Any) -> str | None:
        if not isinstance(thing, kind):
            return f"is no {kind.__name__}"
        stated = getattr(thing, "name", None)
        return None if stated == name else f"says that its name is {stated!r}, not {name!r}"

    return wrong
