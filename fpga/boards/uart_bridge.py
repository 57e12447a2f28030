"""A host at a serial line as the master of registers and of memory."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from ...host.uart_protocol import ANSWER, INTERRUPT, MOST_WORDS, REQUEST, Operation, Status
from ...hw.component import Component
from ...hw.memory.sdram_port import host_access_layout
from .crc import INITIAL, next_crc
from .register_master import register_access_layout, register_answer_layout

__all__ = ["UartBridge"]

_HEAD_BYTES = 7   # behind the first one, before the CRC


class UartBridge(Component):
    """Answer the frames of ``host.uart_protocol``, whose page says what they mean.

    Parameters
    ----------
    word_bits : int
        Bits of the number of a word of memory.
    address_width : int
        Bits of a register's byte address.

    Members
    -------
    i : ``In(stream.Signature(8))``
        Bytes from the host. A word of a write must have been taken by memory before the next
        word's last byte comes: some 40 bits of the line later.
    o : ``Out(stream.Signature(8))``
        Bytes to the host.
    o_memory : ``Out(stream.Signature(host_access_layout(word_bits)))``, i_word : ``In(...)``
        They are connected to ``SdramPort``.
    o_register : ``Out(...)``, i_register : ``In(...)``
        They are connected to ``RegisterMaster``.
    i_interrupt : ``In(1)``
        The accelerator interrupts.
    """

    def __init__(self, word_bits: int, address_width: int) -> None:
        self.word_bits = word_bits
        self.address_width = address_width
        byte = stream.Signature(8)
        super().__init__({
            "i": In(byte), "o": Out(byte),
            "o_memory": Out(stream.Signature(host_access_layout(word_bits))),
            "i_word": In(stream.Signature(32)),
            "o_register": Out(stream.Signature(register_access_layout(address_width))),
            "i_register": In(stream.Signature(register_answer_layout())),
            "i_interrupt": In(1),
        })

    def elaborate(self, platform):
        m = Module()
        self._head = head = Signal(data.StructLayout({
            "operation": 8, "sequence": 8, "words": 8, "address": 32}))
        self._crc, self._word = Signal(16), Signal(32)
        self._status, self._done = Signal(Status), Signal(range(MOST_WORDS + 1))
        self._count = Signal(range(_HEAD_BYTES + 1))   # bytes of a part that came, or that are left
        # A host asks again where an answer was lost; a register must not be written twice.
        self._wrote, self._written, self._as_then = Signal(), Signal(8), Signal(Status)
        was, self._pending = Signal(), Signal()
        m.d.sync += was.eq(self.i_interrupt)
        with m.If(self.i_interrupt & ~was):
            m.d.sync += self._pending.eq(1)

        reads = ((head.operation == Operation.READ_REGISTER)
                 | (head.operation == Operation.READ_MEMORY))
        in_memory = ((head.operation == Operation.READ_MEMORY)
                     | (head.operation == Operation.WRITE_MEMORY))
        access, word = self.o_register, self.o_memory
        m.d.comb += [
            access.p.address.eq(head.address), access.p.value.eq(self._word),
            access.p.write.eq(~reads),
            word.p.word.eq(head.address[2:] + self._done), word.p.write.eq(~reads),
            Cat(word.p.written.data).eq(self._word), word.p.written.strobe.eq(-1),
        ]
        with m.FSM():
            self._take_head(m)
            with m.State("decide"):
                self._decide(m, reads, in_memory)
            self._take_words(m, in_memory)
            with m.State("write register"):
                m.d.comb += access.valid.eq(1)
                with m.If(self.i_register.valid):
                    status = Mux(self.i_register.p.okay, Status.OK, Status.REFUSED)
                    m.d.sync += [self._wrote.eq(1), self._written.eq(head.sequence),
                                 self._as_then.eq(status)]
                    self._answer(m, status)
            with m.State("read register"):
                m.d.comb += access.valid.eq(1)
                with m.If(self.i_register.valid):
                    m.d.sync += self._word.eq(self.i_register.p.value)
                    self._answer(m, Mux(self.i_register.p.okay, Status.OK, Status.REFUSED))
            self._give(m, reads, in_memory)
        return m

    def _take_head(self, m: Module) -> None:
        """Bytes until one is "T", and a request's head behind it."""
        byte, head = self.i.p, self._head.as_value()
        with m.State("seek"):
            m.d.comb += self.i.ready.eq(1)
            m.d.sync += [self._crc.eq(next_crc(Const(INITIAL, 16), byte)),
                         self._count.eq(_HEAD_BYTES)]
            with m.If(self.i.valid & (byte == REQUEST[0])):
                m.next = "head"
            with m.Elif(self._pending):
                m.d.comb += [self.o.valid.eq(1), self.o.p.eq(INTERRUPT[0])]
                with m.If(self.o.ready):
                    m.d.sync += self._pending.eq(0)
        with m.State("head"):
            m.d.comb += self.i.ready.eq(1)
            with m.If(self.i.valid):
                m.d.sync += [head.eq(Cat(head, byte)[8:]),
                             self._crc.eq(next_crc(self._crc, byte)),
                             self._count.eq(self._count - 1)]
                with m.If(self._count == 1):
                    m.next = "head low"
        self._check_crc(m, "head", "decide", lambda: setattr(m, "next", "seek"))

    def _check_crc(self, m: Module, part: str, then: str, damaged) -> None:
        """The two bytes behind a part: go on to ``then`` if they are its CRC."""
        low_right = Signal(name=f"{part}_low_right")
        with m.State(f"{part} low"):
            m.d.comb += self.i.ready.eq(1)
            with m.If(self.i.valid):
                m.d.sync += low_right.eq(self.i.p == self._crc[:8])
                m.next = f"{part} high"
        with m.State(f"{part} high"):
            m.d.comb += self.i.ready.eq(1)
            with m.If(self.i.valid):
                with m.If(low_right & (self.i.p == self._crc[8:])):
                    m.next = then
                with m.Else():
                    damaged()

    def _decide(self, m: Module, reads: Value, in_memory: Value) -> None:
        head = self._head
        end = head.address[2:] + head.words   # in words
        fits = Mux(in_memory, end <= 1 << self.word_bits,
                   (head.words == 1) & (head.address[self.address_width:] == 0))
        known = ((head.operation != 0) & (head.operation <= max(Operation))
                 & (head.address[:2] == 0) & (head.words != 0) & (head.words <= MOST_WORDS) & fits)
        m.d.sync += [self._done.eq(0), self._count.eq(4), self._crc.eq(INITIAL)]
        with m.If(head.sequence != self._written):
            m.d.sync += self._wrote.eq(0)
        with m.If(~known):
            self._answer(m, Status.UNKNOWN)
        with m.Elif(~reads):
            m.next = "words"
        with m.Elif(in_memory):
            self._answer(m, Status.OK)
        with m.Else():
            m.next = "read register"

    def _take_words(self, m: Module, in_memory: Value) -> None:
        """The words of a write: to memory as they come."""
        head = self._head
        with m.State("words"):
            m.d.comb += self.i.ready.eq(1)
            with m.If(self.i.valid):
                m.d.sync += [self._word.eq(Cat(self._word, self.i.p)[8:]),
                             self._crc.eq(next_crc(self._crc, self.i.p)),
                             self._count.eq(self._count - 1)]
                with m.If(self._count == 1):
                    m.next = "word"
        with m.State("word"):
            m.d.comb += self.o_memory.valid.eq(in_memory)
            with m.If(self.o_memory.ready | ~in_memory):
                m.d.sync += [self._done.eq(self._done + 1), self._count.eq(4)]
                m.next = "words"
                with m.If(self._done + 1 == head.words):
                    m.next = "words low"
        self._check_crc(m, "words", "written", lambda: self._answer(m, Status.DAMAGED))
        with m.State("written"):
            with m.If(in_memory):
                self._answer(m, Status.OK)
            with m.Elif(self._wrote & (self._written == head.sequence)):
                self._answer(m, self._as_then)
            with m.Else():
                m.next = "write register"

    def _answer(self, m: Module, status) -> None:
        """Begin to answer."""
        m.d.sync += self._status.eq(status)
        m.next = "answer"

    def _give(self, m: Module, reads: Value, in_memory: Value) -> None:
        """The answer's head, and the words of a read, each with its CRC."""
        head, out = self._head, Signal(32)
        left, then = Signal(range(5)), Signal(2)   # bytes to send; what comes behind them
        words_follow = reads & (self._status == Status.OK)
        with m.State("answer"):
            m.d.sync += [out.eq(Cat(Const(ANSWER[0], 8), head.sequence, self._status,
                                    Const(0, 8 - len(self._status)), head.words)),
                         left.eq(4), then.eq(0), self._crc.eq(INITIAL), self._done.eq(0)]
            m.next = "send"
        with m.State("send"):
            m.d.comb += [self.o.valid.eq(1), self.o.p.eq(out[:8])]
            with m.If(self.o.ready):
                m.d.sync += [out.eq(out >> 8), left.eq(left - 1),
                             self._crc.eq(next_crc(self._crc, out[:8]))]
                with m.If(left == 1):
                    m.next = "sent"
        with m.State("sent"):
            m.d.sync += [out.eq(self._crc), left.eq(2), then.eq(1), self._crc.eq(INITIAL)]
            m.next = "send"
            with m.If(then[0]):   # a CRC was sent
                m.next = "seek"
                with m.If(words_follow & ~then[1]):
                    m.next = "fetch"
            with m.If(then == 2):   # a word was sent
                m.d.sync += then.eq(3)
                with m.If(self._done != head.words):
                    m.d.sync += self._crc.eq(self._crc)
                    m.next = "fetch"
        with m.State("fetch"):
            m.d.comb += self.o_memory.valid.eq(in_memory)
            with m.If(~in_memory):
                m.next = "fetched"
            with m.Elif(self.o_memory.ready):
                m.next = "wait"
        with m.State("wait"):
            m.d.comb += self.i_word.ready.eq(1)
            with m.If(self.i_word.valid):
                m.d.sync += self._word.eq(self.i_word.p)
                m.next = "fetched"
        with m.State("fetched"):
            m.d.sync += [out.eq(self._word), left.eq(4), then.eq(2),
                         self._done.eq(self._done + 1)]
            m.next = "send"
