"""The base of every component of hardware, with attributes that a type checker lets pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amaranth.lib import wiring

__all__ = ["Component"]


class Component(wiring.Component):
    """Amaranth's component: it has an attribute for each member of its signature.

    The signature is computed when the component is made, so that a type checker cannot know the
    members: it takes every attribute that no class declares as ``Any``.
    """

    if TYPE_CHECKING:
        def __getattr__(self, name: str) -> Any: ...
