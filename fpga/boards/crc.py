"""CRC-16/IBM-3740, byte by byte, as ``host.uart_protocol.crc16`` computes it."""

from __future__ import annotations

from amaranth.hdl import Cat, Mux, Value

__all__ = ["INITIAL", "next_crc"]

INITIAL = 0xFFFF
_POLYNOMIAL = 0x1021


def next_crc(crc: Value, byte: Value) -> Value:
    """The CRC behind one more byte."""
    crc = crc ^ (byte << 8)[:16]
    for _ in range(8):
        crc = Cat(0, crc[:15]) ^ Mux(crc[15], _POLYNOMIAL, 0)
    return crc
