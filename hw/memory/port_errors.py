"""The first error of a memory port, which is kept."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value, ValueLike
from amaranth.lib.wiring import In, Out

from ..component import Component
from .axi import PortError, Response

__all__ = ["PortErrors", "keep_errors"]


class PortErrors(Component):
    """Remember what went wrong first, until it is cleared.

    Parameters
    ----------
    timeout : int
        Cycles of waiting without progress that count as an error.

    Members
    -------
    response : ``In(2)``
        RRESP or BRESP, in a cycle in which it is taken; OKAY otherwise.
    broken : ``In(1)``
        A rule of the protocol was broken in this cycle.
    waiting : ``In(1)``
        The other side has something to do and is not doing it in this cycle.
    clear : ``In(1)``
        Forget the error.
    error : ``Out(3)``
        A ``PortError``, from the cycle after it happened.
    """

    def __init__(self, timeout: int) -> None:
        if not isinstance(timeout, int) or timeout < 1:
            raise ValueError(f"timeout must be a positive number of cycles, not {timeout!r}")
        self.timeout = timeout
        super().__init__({
            "response": In(2), "broken": In(1), "waiting": In(1), "clear": In(1), "error": Out(3),
        })

    def elaborate(self, platform):
        m = Module()

        waited = Signal(range(self.timeout + 1))
        with m.If(~self.waiting):
            m.d.sync += waited.eq(0)
        with m.Elif(waited != self.timeout):
            m.d.sync += waited.eq(waited + 1)

        with m.If(self.clear):
            m.d.sync += self.error.eq(PortError.NONE)
        with m.Elif(self.error == PortError.NONE):
            with m.If(self.broken | (self.response == Response.EXOKAY)):
                m.d.sync += self.error.eq(PortError.PROTOCOL)
            with m.Elif(self.response == Response.SLVERR):
                m.d.sync += self.error.eq(PortError.SLAVE)
            with m.Elif(self.response == Response.DECERR):
                m.d.sync += self.error.eq(PortError.DECODE)
            # Once per wait: the cycle in which the limit is reached.
            with m.Elif(self.waiting & (waited == self.timeout - 1)):
                m.d.sync += self.error.eq(PortError.TIMEOUT)

        return m


def keep_errors(m: Module, port: Component, timeout: int, *, answered: Value,
                response: Value, waiting: Value, broken: ValueLike = 0) -> None:
    """Add ``PortErrors`` to ``m`` for ``port``, which has the members ``error`` and ``clear``.

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
