"""``AxiRules`` on a port of a device in a cocotb bench."""

import cocotb
from cocotb.triggers import RisingEdge

from support.axi_rules import FIELDS, AxiRules


def watch_port(dut, prefix, checked=tuple(FIELDS)):
    """Look at the port whose signals begin with ``prefix`` in every cycle from now on.

    A broken rule ends the test. The rules are given back: their ``counts`` say what was seen.
    """
    channels = [name for name in FIELDS if hasattr(dut, f"{prefix}{name}valid")]
    data = getattr(dut, f"{prefix}{'rdata' if 'r' in channels else 'wdata'}")
    rules = AxiRules(len(data) // 8, checked)
    cocotb.start_soon(_watch(dut, {name: _Channel(dut, prefix + name, FIELDS[name])
                                   for name in channels}, rules))
    return rules


async def _watch(dut, channels, rules):
    edge = RisingEdge(dut.clk)
    while True:
        await edge
        if dut.rst.value:
            rules.forget()
        else:
            rules.step({name: channel.shown() for name, channel in channels.items()})


class _Channel:
    """The signals of a channel."""

    def __init__(self, dut, name, fields):
        self.valid, self.ready = (getattr(dut, name + end) for end in ("valid", "ready"))
        self.fields = {field: getattr(dut, name + field) for field in fields}

    def shown(self):
        """As ``AxiRules.step`` takes it."""
        payload = None
        if self.valid.value:
            payload = {field: int(handle.value) for field, handle in self.fields.items()}
        return bool(self.ready.value), payload
