"""The AXI4 signals of a memory port, and what can go wrong on one."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .responses import PortError, Response

__all__ = ["BURST_BYTES", "COUNT_WIDTH", "NORMAL", "BurstAttributes", "PortError", "Response",
           "byte_address", "describe_bursts", "read_signature", "request_layout", "word_layout",
           "write_signature"]

BURST_BYTES = 4096   # no burst may cross a multiple of that
COUNT_WIDTH = 24     # of the words of a request, less one: a large vocabulary is one request
INCREMENTING = 1     # AxBURST


@dataclass(frozen=True)
class BurstAttributes:
    """What an interconnect and a cache may make of every burst: AxCACHE and AxPROT (AXI4 A4).

    By default, bursts may be merged, split and buffered (``0b0011``: normal, non-cacheable), and
    are unprivileged, secure data (0). A coherent port of a Zynq wants ``cache=0b1111``; a system
    whose memory is not secure wants ``prot=0b010``.

    Raises
    ------
    ValueError
        ``cache`` has more than four bits, or ``prot`` more than three.
    """

    cache: int = 0b0011
    prot: int = 0

    def __post_init__(self) -> None:
        for name, most in (("cache", 15), ("prot", 7)):
            value = getattr(self, name)
            if type(value) is not int or not 0 <= value <= most:
                raise ValueError(f"{name} must be a whole number from 0 to {most}, not {value!r}")


NORMAL = BurstAttributes()


def read_signature(address_width: int, word_bytes: int) -> wiring.Signature:
    """The AR and R channels, as the master drives them; names as in the specification.

    One transaction identifier, so that data come in the order of their addresses.
    """
    return wiring.Signature({
        **_address_channel("ar", address_width),
        "rid": In(1), "rdata": In(8 * word_bytes), "rresp": In(2), "rlast": In(1),
        "rvalid": In(1), "rready": Out(1),
    })


def write_signature(address_width: int, word_bytes: int) -> wiring.Signature:
    """The AW, W and B channels, as the master drives them; names as in the specification."""
    return wiring.Signature({
        **_address_channel("aw", address_width),
        "wdata": Out(8 * word_bytes), "wstrb": Out(word_bytes), "wlast": Out(1),
        "wvalid": Out(1), "wready": In(1),
        "bid": In(1), "bresp": In(2), "bvalid": In(1), "bready": Out(1),
    })


def request_layout(address_width: int, word_bytes: int, count_width: int) -> data.StructLayout:
    """``more + 1`` words of memory from word number ``word`` on (its address over word_bytes).

    In these units, no request can be misaligned or empty.
    """
    if word_bytes & (word_bytes - 1) or not 1 <= word_bytes <= 128:
        raise ValueError(f"AXI words have 1, 2, 4, ... 128 bytes, not {word_bytes!r}")
    return data.StructLayout({
        "word": address_width - word_bytes.bit_length() + 1, "more": count_width,
    })


def word_layout(word_bytes: int) -> data.StructLayout:
    """A memory word, and whether it is the last one of what was asked for."""
    return data.StructLayout({"data": data.ArrayLayout(8, word_bytes), "last": 1})


def byte_address(word: Value, word_bytes: int) -> Value:
    """The address of word number ``word``."""
    return Cat(Const(0, word_bytes.bit_length() - 1), word)


def describe_bursts(m: Module, port, channel: str, word_bytes: int,
                    attributes: BurstAttributes) -> None:
    """Drive what is the same for every burst on ``channel`` ("ar" or "aw") of ``port``."""
    m.d.comb += [
        getattr(port, channel + name).eq(value)
        for name, value in (("id", 0), ("size", word_bytes.bit_length() - 1),
                            ("burst", INCREMENTING), ("cache", attributes.cache),
                            ("prot", attributes.prot))
    ]


def _address_channel(name: str, address_width: int) -> dict[str, wiring.Member]:
    members = {"id": Out(1), "addr": Out(address_width), "len": Out(8), "size": Out(3),
               "burst": Out(2), "cache": Out(4), "prot": Out(3), "valid": Out(1), "ready": In(1)}
    return {name + member: value for member, value in members.items()}
