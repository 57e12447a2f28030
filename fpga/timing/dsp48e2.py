"""The timing arcs of DSP48E2, by the registers that a cell really has."""

from __future__ import annotations

from .graph import GraphBuilder, Net
from .netlist import Cell

__all__ = ["add_dsp", "dsp_registers"]

_REGISTERS = ("AREG", "BREG", "CREG", "MREG", "PREG")
_OTHER_OUTPUTS = ("CARRYOUT", "XOROUT", "PATTERNDETECT", "PATTERNBDETECT", "OVERFLOW", "UNDERFLOW")
_CASCADES = ("PCOUT", "MULTSIGNOUT", "CARRYCASCOUT")
_CONTROLS = ("CARRYIN", "ALUMODE", "OPMODE", "CARRYINSEL")


def dsp_registers(cell: Cell) -> str:
    """Which registers a DSP48E2 has, as ``DSP48E2 with AREG BREG``."""
    has = [name for name in _REGISTERS if cell.number(name, 1) and _used(cell, name)]
    return f"DSP48E2 with {' '.join(has) or 'no register'}"


def _used(cell: Cell, register: str) -> bool:
    if register == "MREG":
        return _multiplies(cell)
    return register == "PREG" or any(True for _ in cell.nets(register[0]))


def _multiplies(cell: Cell) -> bool:
    return cell.text("USE_MULT", "MULTIPLY") != "NONE"


def add_dsp(graph: GraphBuilder, cell: Cell) -> None:
    """Add the arcs of ``cell``: A, B, D to the product, C and PCIN to the ALU, that to P.

    Without registers all of it is one way: a level in the count of levels. The pipeline inside is
    cut where AREG, BREG, CREG, MREG and PREG say.
    """
    product, sum_ = graph.node(), graph.node()
    multiplies = _multiplies(cell)
    after_inputs = product if multiplies else sum_
    for port, register in (("A", "AREG"), ("B", "BREG"), ("D", "DREG")):
        if port == "D" and cell.text("AMULTSEL", "A") != "AD":
            continue
        into: tuple[str, ...] = ("dsp.multiply",) if multiplies else ("dsp.alu",)
        if port == "D":
            into = ("dsp.pre_adder", *into)
        nets = list(cell.nets(port))
        if nets and cell.number(register, 1):
            for net in nets:
                graph.end(net, port, "dsp.setup", net=Net.COLUMN)
            graph.start(after_inputs, "dsp.input_register", *into)
        else:
            for net in nets:
                graph.arc(net, after_inputs, "dsp.input", *into, net=Net.COLUMN)
    if multiplies and cell.number("MREG", 1):
        graph.end(product, "M", "dsp.m_setup", net=Net.INSIDE)
        graph.start(sum_, "dsp.m_register", "dsp.alu")
    elif multiplies:
        graph.arc(product, sum_, "dsp.m_to_alu", "dsp.alu", net=Net.INSIDE, levels=0)
    _add_addends(graph, cell, sum_)
    _add_outputs(graph, cell, sum_)
    for port, net in cell.inputs():
        if port.startswith(("CE", "RST")):
            graph.end(net, port, "dsp.enable", net=Net.COLUMN)


def _add_addends(graph: GraphBuilder, cell: Cell, sum_: int) -> None:
    nets = list(cell.nets("C"))
    if nets and cell.number("CREG", 1):
        for net in nets:
            graph.end(net, "C", "dsp.setup", net=Net.COLUMN)
        graph.start(sum_, "dsp.c_register", "dsp.alu")
    else:
        for net in nets:
            graph.arc(net, sum_, "dsp.c_input", "dsp.alu", net=Net.COLUMN)
    for net in cell.nets("PCIN"):
        graph.arc(net, sum_, "dsp.cascade", net=Net.DEDICATED)
    for net in cell.nets(*_CONTROLS):
        graph.arc(net, sum_, "dsp.control", "dsp.alu", net=Net.COLUMN)


def _add_outputs(graph: GraphBuilder, cell: Cell, sum_: int) -> None:
    for net in cell.nets("P", *_OTHER_OUTPUTS):
        graph.column(net)
    if cell.number("PREG", 1):
        graph.end(sum_, "P", "dsp.p_setup", net=Net.INSIDE)
        for net in cell.nets("P", *_OTHER_OUTPUTS, *_CASCADES):
            graph.start(net, "dsp.p_register")
        return
    for net in cell.nets("P", *_OTHER_OUTPUTS):
        graph.arc(sum_, net, "dsp.output", net=Net.INSIDE, levels=0)
    for net in cell.nets(*_CASCADES):
        graph.arc(sum_, net, "dsp.cascade_output", net=Net.INSIDE, levels=0)
