"""One memory port of wide words on several narrow ports, each with a part of every word."""

from __future__ import annotations

from functools import reduce

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib.wiring import In, Out

from ..component import Component
from ..streams.queue import StreamQueue
from .axi import Response, read_signature, write_signature

__all__ = ["StripedPort"]

_SPACING = 32   # bits
_ADDRESS = ("id", "addr", "len", "size", "burst", "cache", "prot")


class StripedPort(Component):
    """Pass every burst to all of several ports: port i has part i of every word.

    All ports are asked for the same: bursts of as many words as were asked for, at the same place
    of each port's region. So a port of 64 bytes becomes four of 16, as the HP ports of a Zynq are,
    and each of them has a quarter of the image. Ports may be as late as they like, each for itself:
    a word goes on when its last part has come. Addresses, words and answers pass a cycle later; a
    word per cycle. Outputs depend on registers only, except ``i_read.rready`` and
    ``i_write.bready``, which take parts from their queues.

    Parameters
    ----------
    address_width : int
        Bits of a byte address of ``i_read`` and ``i_write``.
    word_bytes : int
        Bytes of their words.
    ports : int
        Number of ports: 2 or 4, and less than ``word_bytes``.
    port_address_width : int
        Bits of a byte address of a port.
    depth : int
        Words that the fastest port may be ahead of the slowest one.
    outstanding : int
        Write bursts whose answers may be so.

    Members
    -------
    i_read, i_write : ``In(read_signature(...))``, ``In(write_signature(...))``
        A master of wide words, with one identifier.
    i_base : ``In(port_address_width)``, i_spacing : ``In(32)``
        Where port 0's region begins, and bytes from one region to the next, both multiples of 4
        KiB: ``address`` is ``base + i * spacing + address / ports`` of port i. They have been what
        they are for three cycles before an address comes.
    o_read, o_write : ``Out(read_signature(...)).array(ports)``, ``Out(...).array(ports)``
        The ports.

    A response is the worst one of its parts. Where ports disagree about RLAST, it is EXOKAY, which
    a master takes for a broken protocol.

    Raises
    ------
    ValueError
        ``ports`` does not divide words, or a region exceeds ``port_address_width``.
    """

    latency = 2   # cycles that it adds to a read, and to a write and its answer

    def __init__(self, *, address_width: int, word_bytes: int, ports: int,
                 port_address_width: int, depth: int = 16, outstanding: int = 16) -> None:
        if ports not in (2, 4) or ports >= word_bytes:
            raise ValueError(f"ports must be 2 or 4, and less than the {word_bytes} bytes of a "
                             f"word, not {ports!r}")
        region = (1 << address_width) // ports
        if region > 1 << port_address_width:
            raise ValueError(f"A region of {region} bytes exceeds port_address_width = "
                             f"{port_address_width}")
        self.ports = ports
        self.depth, self.outstanding = depth, outstanding
        self.part_bytes = word_bytes // ports
        port = {"address_width": port_address_width, "word_bytes": self.part_bytes}
        wide = {"address_width": address_width, "word_bytes": word_bytes}
        super().__init__({
            "i_read": In(read_signature(**wide)), "i_write": In(write_signature(**wide)),
            "i_base": In(port_address_width), "i_spacing": In(_SPACING),
            "o_read": Out(read_signature(**port)).array(ports),
            "o_write": Out(write_signature(**port)).array(ports),
        })

    def elaborate(self, platform):
        m = Module()
        self._regions = self._begins(m)
        self._addresses(m, "ar", self.i_read, self.o_read)
        self._addresses(m, "aw", self.i_write, self.o_write)
        self._words(m)
        self._parts(m)
        self._answers(m)
        return m

    def _begins(self, m: Module) -> list[Signal]:
        """Where the region of each port begins, in registers."""
        width = len(self.i_base)
        doubled, tripled = self.i_spacing << 1, Signal(_SPACING + 2)
        m.d.sync += tripled.eq(self.i_spacing + doubled)
        begins = [Signal(width, name=f"begin_{number}") for number in range(self.ports)]
        for begin, distance in zip(begins, (0, self.i_spacing, doubled, tripled), strict=False):
            m.d.sync += begin.eq(self.i_base + distance)
        return begins

    def _addresses(self, m: Module, channel: str, wide, ports) -> None:
        """Give each address to all ports at once, through queues."""
        shift = (self.ports - 1).bit_length()
        size = (self.part_bytes - 1).bit_length()
        queues = []
        for number, port in enumerate(ports):
            address = (getattr(wide, f"{channel}addr") >> shift) + self._regions[number]
            fields = {name: getattr(wide, channel + name) for name in _ADDRESS}
            fields |= {"addr": address[:len(getattr(port, f"{channel}addr"))], "size": None}
            passed = [name for name in _ADDRESS if name != "size"]
            targets = [getattr(port, channel + name) for name in passed]
            queue = StreamQueue(sum(map(len, targets)))
            m.submodules[f"{channel}_{number}"] = queue
            m.d.comb += [
                *(target.eq(part) for target, part in zip(
                    targets, _cut(queue.o.p, map(len, targets)), strict=True)),
                queue.i.p.eq(Cat(_fit(fields[name], len(target))
                                 for name, target in zip(passed, targets, strict=True))),
                getattr(port, f"{channel}size").eq(size),
                getattr(port, f"{channel}valid").eq(queue.o.valid),
                queue.o.ready.eq(getattr(port, f"{channel}ready")),
            ]
            queues.append(queue)
        self._give_all(m, getattr(wide, f"{channel}valid"), getattr(wide, f"{channel}ready"),
                       queues)

    def _give_all(self, m: Module, valid: Value, ready: Value, queues: list[StreamQueue]) -> None:
        m.d.comb += ready.eq(Cat(queue.i.ready for queue in queues).all())
        m.d.comb += [queue.i.valid.eq(valid & ready) for queue in queues]

    def _words(self, m: Module) -> None:
        """Cut words that are written."""
        wide, size = self.i_write, self.part_bytes
        queues = []
        for number, port in enumerate(self.o_write):
            m.submodules[f"w_{number}"] = queue = StreamQueue(9 * size + 1)
            m.d.comb += [
                queue.i.p.eq(Cat(wide.wdata.word_select(number, 8 * size),
                                 wide.wstrb.word_select(number, size), wide.wlast)),
                Cat(port.wdata, port.wstrb, port.wlast).eq(queue.o.p),
                port.wvalid.eq(queue.o.valid), queue.o.ready.eq(port.wready),
            ]
            queues.append(queue)
        self._give_all(m, wide.wvalid, wide.wready, queues)

    def _parts(self, m: Module) -> None:
        """Put words that are read together."""
        wide = self.i_read
        queues = []
        for number, port in enumerate(self.o_read):
            m.submodules[f"r_{number}"] = queue = StreamQueue(8 * self.part_bytes + 3, self.depth)
            m.d.comb += [
                queue.i.p.eq(Cat(port.rdata, port.rresp, port.rlast)),
                queue.i.valid.eq(port.rvalid), port.rready.eq(queue.i.ready),
            ]
            queues.append(queue)
        width = 8 * self.part_bytes
        last = Cat(queue.o.p[-1] for queue in queues)
        agreed = last.all() | ~last.any()
        worst = _worst([queue.o.p[width:width + 2] for queue in queues])
        m.d.comb += [
            wide.rdata.eq(Cat(queue.o.p[:width] for queue in queues)),
            wide.rresp.eq(Mux(agreed, worst, Response.EXOKAY)), wide.rlast.eq(last.all()),
            wide.rid.eq(0),
        ]
        self._take_all(m, wide.rvalid, wide.rready, queues)

    def _answers(self, m: Module) -> None:
        """Put the answers to a write together."""
        queues = []
        for number, port in enumerate(self.o_write):
            m.submodules[f"b_{number}"] = queue = StreamQueue(2, self.outstanding)
            m.d.comb += [queue.i.p.eq(port.bresp), queue.i.valid.eq(port.bvalid),
                         port.bready.eq(queue.i.ready)]
            queues.append(queue)
        m.d.comb += [self.i_write.bresp.eq(_worst([queue.o.p for queue in queues])),
                     self.i_write.bid.eq(0)]
        self._take_all(m, self.i_write.bvalid, self.i_write.bready, queues)

    def _take_all(self, m: Module, valid: Value, ready: Value, queues: list[StreamQueue]) -> None:
        m.d.comb += valid.eq(Cat(queue.o.valid for queue in queues).all())
        m.d.comb += [queue.o.ready.eq(valid & ready) for queue in queues]


def _worst(responses: list[Value]) -> Value:
    """DECERR before SLVERR before EXOKAY before OKAY."""
    return reduce(lambda one, other: Mux(one > other, one, other), responses)


def _fit(value: Value, width: int) -> Value:
    return (value | Cat([0] * width))[:width] if len(value) != width else value


def _cut(bits: Value, widths) -> list[Value]:
    """``bits`` in parts of these widths."""
    parts, place = [], 0
    for width in widths:
        parts.append(bits[place:place + width])
        place += width
    return parts
