"""Cells of netlists that are written by hand, as Yosys' ``write_json`` has them."""


def cell(kind, outputs, inputs, **parameters):
    """A cell of a netlist: pins by port, each a list of nets."""
    return {"type": kind, "parameters": parameters, "connections": outputs | inputs,
            "port_directions": dict.fromkeys(outputs, "output") | dict.fromkeys(inputs, "input")}


def flip_flop(d, q):
    return cell("FDRE", {"Q": [q]}, {"C": [2], "CE": ["1"], "R": ["0"], "D": [d]})
