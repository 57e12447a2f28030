"""The ports of a component, as a converter takes them."""

from __future__ import annotations

from amaranth.hdl import Const, Value
from amaranth.lib.wiring import Component, Flow

__all__ = ["component_ports"]


def component_ports(component: Component) -> dict[str, tuple[Flow, Value]]:
    """Direction and signal of every port of ``component``, by its name (``i__payload``).

    The constant of an always-ready stream is no port, and Amaranth's converters stumble over it.
    """
    ports = {}
    for path, member, value in component.signature.flatten(component):
        signal = Value.cast(value)
        if not isinstance(signal, Const):
            ports["__".join(map(str, path))] = (member.flow, signal)
    return ports
