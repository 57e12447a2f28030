"""What the masters of an AXI4 port share."""

from __future__ import annotations

from typing import ClassVar

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect

from ..component import Component
from .axi import NORMAL, BurstAttributes, byte_address, describe_bursts, request_layout
from .burst_splitter import BurstSplitter
from .port_errors import timeout_port

__all__ = ["Master"]


class Master(Component):
    """Requests for words, cut into bursts whose addresses are offered on ``channel``.

    The address of a request is offered two cycles after it was taken; its further bursts follow
    one per cycle, up to ``outstanding`` at a time. No output depends combinationally on any input.

    Parameters
    ----------
    address_width, word_bytes, max_burst, count_width : int
        The same as the parameters of ``BurstSplitter``.
    outstanding : int
        The number of bursts that may have been announced and not answered in full.
    timeout : int | None
        The number of cycles without an answer after which ``error`` is set; None: a port says.
    attributes : BurstAttributes
        AxCACHE and AxPROT.

    Members
    -------
    i_request : ``In(stream.Signature(request_layout(...)))``
        What is to be read or written.
    axi : ``Out(...)``
        The memory port.
    error : ``Out(3)``
        The first ``PortError`` since reset or ``clear``.
    clear : ``In(1)``
        Forget the error.
    i_timeout : ``In(32)``
        With ``timeout`` None: as of ``PortErrors``.
    busy : ``Out(1)``
        A request has not been answered in full.

    Raises
    ------
    ValueError
        ``outstanding`` is not a positive integer.
    """

    channel: ClassVar[str]   # "ar" or "aw"

    @staticmethod
    def port(address_width: int, word_bytes: int) -> wiring.Signature:
        """The signature of ``axi``."""
        raise NotImplementedError

    @staticmethod
    def words(word_bytes: int) -> dict[str, wiring.Member]:
        """The streams of words, and of what is said of them."""
        raise NotImplementedError

    def __init__(self, *, address_width: int, word_bytes: int, max_burst: int, outstanding: int,
                 count_width: int = 20, timeout: int | None = 4096,
                 attributes: BurstAttributes = NORMAL) -> None:
        if not isinstance(outstanding, int) or outstanding < 1:
            raise ValueError(f"outstanding must be a positive integer, not {outstanding!r}")
        self.word_bytes = word_bytes
        self.outstanding = outstanding
        self.timeout = timeout
        self._attributes = attributes
        self._splitter = BurstSplitter(address_width=address_width, word_bytes=word_bytes,
                                       max_burst=max_burst, count_width=count_width)
        request = request_layout(address_width, word_bytes, count_width)
        super().__init__({
            "i_request": In(stream.Signature(request)), **self.words(word_bytes),
            "axi": Out(self.port(address_width, word_bytes)),
            "error": Out(3), "clear": In(1), "busy": Out(1), **timeout_port(timeout),
        })

    def _announce(self, m: Module, room: Value) -> tuple[stream.Interface, Signal]:
        """Offer a burst while there is ``room`` to note it down.

        Returns the bursts, and whether the address of one is taken in this cycle.
        """
        m.submodules.splitter = splitter = self._splitter
        connect(m, wiring.flipped(self.i_request), splitter.i)
        describe_bursts(m, self.axi, self.channel, self.word_bytes, self._attributes)
        valid, ready, address, length = (getattr(self.axi, self.channel + name)
                                         for name in ("valid", "ready", "addr", "len"))
        bursts, announced = splitter.o, Signal()
        m.d.comb += [
            valid.eq(bursts.valid & room),
            address.eq(byte_address(bursts.p.word, self.word_bytes)),
            length.eq(bursts.p.more),
            bursts.ready.eq(ready & room),
            announced.eq(valid & ready),
        ]
        return bursts, announced
