"""The first error of a memory port, which is kept."""

from __future__ import annotations

from amaranth.hdl import Const, Module, Mux, Signal, Value, ValueLike
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..component import Component
from .axi import PortError, Response

__all__ = ["PortErrors", "keep_errors", "timeout_port"]


class PortErrors(Component):
    """Remember what went wrong first, until it is cleared.

    Parameters
    ----------
    timeout : int | None
        Cycles of waiting without progress that count as an error; None: there is a port for it.

    Members
    -------
    response : ``In(2)``
        RRESP or BRESP, in a cycle in which it is taken; OKAY otherwise.
    broken : ``In(1)``
        A rule of the protocol was broken in this cycle.
    waiting : ``In(1)``
        The other side has something to do and is not doing it in this cycle.
    i_timeout : ``In(32)``
        With ``timeout`` None: that many cycles; 0: none are an error.
    clear : ``In(1)``
        Forget the error.
    error : ``Out(3)``
        A ``PortError``, from the cycle after it happened.
    """

    def __init__(self, timeout: int | None) -> None:
        if timeout is not None and (not isinstance(timeout, int) or timeout < 1):
            raise ValueError(f"timeout must be a positive number of cycles, not {timeout!r}")
        self.timeout = timeout
        super().__init__({
            "response": In(2), "broken": In(1), "waiting": In(1), "clear": In(1), "error": Out(3),
            **timeout_port(timeout),
        })

    def elaborate(self, platform):
        m = Module()

        # Once per wait: the cycle in which none is left.
        limit = self.i_timeout if self.timeout is None else Const(self.timeout)
        left, late = Signal(len(limit), init=self.timeout or 0), Signal()
        m.d.comb += late.eq(self.waiting & (left == 1))
        with m.If(~self.waiting):
            m.d.sync += left.eq(limit)
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)

        with m.If(self.clear):
            m.d.sync += self.error.eq(PortError.NONE)
        with m.Elif(self.error == PortError.NONE):
            with m.If(self.broken | (self.response == Response.EXOKAY)):
                m.d.sync += self.error.eq(PortError.PROTOCOL)
            with m.Elif(self.response == Response.SLVERR):
                m.d.sync += self.error.eq(PortError.SLAVE)
            with m.Elif(self.response == Response.DECERR):
                m.d.sync += self.error.eq(PortError.DECODE)
            with m.Elif(late):
                m.d.sync += self.error.eq(PortError.TIMEOUT)

        return m


def timeout_port(timeout: int | None) -> dict[str, wiring.Member]:
    """The member ``i_timeout`` of a port whose time-out is not a number."""
    return {} if timeout is not None else {"i_timeout": In(32)}


def keep_errors(m: Module, port: Component, timeout: int | None, *, answered: Value,
                response: Value, waiting: Value, broken: ValueLike = 0) -> None:
    """Add ``PortErrors`` to ``m`` for ``port``, which has the members ``error`` and ``clear``.

    Where ``timeout`` is None, it has ``i_timeout`` too.
    ``response`` counts in the cycles in which it is ``answered``; the others are as of
    ``PortErrors``.
    """
    m.submodules.errors = errors = PortErrors(timeout)
    m.d.comb += [
        errors.response.eq(Mux(answered, response, Response.OKAY)),
        errors.broken.eq(broken),
        errors.waiting.eq(waiting),
        errors.clear.eq(port.clear),
        port.error.eq(errors.error),
    ]
    if timeout is None:
        m.d.comb += errors.i_timeout.eq(port.i_timeout)
