"""A component as converters take it: its ports, and its RTLIL."""

from __future__ import annotations

from amaranth.back import rtlil
from amaranth.hdl import Const, Value
from amaranth.lib.wiring import Component, Flow

from ...tools.collector import without_collections

__all__ = ["Flow", "component_ports", "to_rtlil"]


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


def to_rtlil(component: Component, name: str, emit_src: bool) -> str:
    """Elaborate ``component`` to the RTLIL of a module ``name``, with source lines on request."""
    ports = {port: (signal, None) for port, (_, signal) in component_ports(component).items()}
    with without_collections():
        return str(rtlil.convert(component, name=name, ports=ports, emit_src=emit_src))
