"""The head: which row of a matrix has the largest product with a token's hidden state."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..component import Component
from ..floats.compare import FloatCompare
from ..floats.format import FLOAT32
from ..floats.from_integer import IntegerToFloat
from ..floats.multiply import FloatMultiply
from ..floats.shifting import delay, delay_pulse
from ..matmul.adder_tree import AdderTree
from ..matmul.engine_parameters import signed_width
from ..memory.axi import word_layout
from ..rows.row_fork import row_layout
from ..streams.queue import queue_before

__all__ = ["Head", "choice_layout", "head_job_layout"]


def head_job_layout(max_width: int, word_bytes: int, max_rows: int) -> data.StructLayout:
    """``rows`` rows of ``row_words`` words, of codes of 8 bits or ``four_bits``."""
    return data.StructLayout({
        "row_words": range(-(-max_width // word_bytes) + 1), "rows": range(max_rows + 1),
        "four_bits": 1})


def choice_layout(max_rows: int) -> data.StructLayout:
    """The row with the largest logit, and that logit."""
    return data.StructLayout({"row": range(max_rows), "logit": FLOAT32.layout})


class Head(Component):
    """The row of an int8 or int4 matrix with the largest logit, bit for bit the runtime's.

    A logit of int8 rows is ``(float32(sum) * scale_x) * scale_row`` (``numerics.scale_sum``), of
    int4 rows, which are one group, ``(float32(sum) * scale_row) * scale_x`` (``add_group``). Of
    equal ones the first row counts, as with numpy's ``argmax``. Rows come in the groups of
    ``VocabularyLayout``, a word per cycle; a word of 4-bit codes meets twice as many activations as
    one of int8 codes. A row has at least two words. Words stop while nobody
    takes the logits; nothing else stops.

    Parameters
    ----------
    word_bytes : int
        Bytes of a memory word.
    lanes : int
        Codes of a beat of ``i``, a divisor of ``word_bytes``.
    max_width, max_rows : int
        Largest matrix.
    factor_cycles : int
        Cycles from a word until its factors are multiplied: 1, out of the memory of the hidden
        state; more, with registers in between.

    Members
    -------
    i : ``In(stream.Signature(row_layout(ArrayLayout(signed(8), lanes))))``
        The hidden state's codes: one row for each job.
    i_scale : ``In(stream.Signature(FLOAT32.layout))``
        Its scale.
    i_job : ``In(stream.Signature(head_job_layout(...)))``
        Size of the matrix. It is taken at the end.
    i_words : ``In(stream.Signature(word_layout(word_bytes)))``
        The matrix, in whole groups. Waits until the codes are there and the choice before is taken.
    o : ``Out(stream.Signature(choice_layout(max_rows)))``
        The choice.
    o_logits : ``Out(stream.Signature(FLOAT32.layout))``
        The logit of each row, all of them before the choice.
    """

    def __init__(self, *, word_bytes: int, lanes: int, max_width: int, max_rows: int,
                 factor_cycles: int = 1) -> None:
        self.word_bytes = word_bytes
        self.lanes = lanes
        self.max_words = -(-max_width // word_bytes)   # of int8; half as many of 4 bits
        self.max_rows = max_rows
        self.factor_cycles = factor_cycles
        self.sum_width = signed_width(max_width << 14)
        super().__init__({
            "i": In(stream.Signature(row_layout(data.ArrayLayout(signed(8), lanes)))),
            "i_scale": In(stream.Signature(FLOAT32.layout)),
            "i_job": In(stream.Signature(head_job_layout(max_width, word_bytes, max_rows))),
            "i_words": In(stream.Signature(word_layout(word_bytes))),
            "o": Out(stream.Signature(choice_layout(max_rows))),
            "o_logits": Out(stream.Signature(FLOAT32.layout)),
        })

    def elaborate(self, platform):
        m = Module()
        job = self.i_job.p
        group_rows = self.word_bytes // 4

        # The hidden state: beat by beat into as many as a word of 4-bit codes meets.
        beats = 2 * self.word_bytes // self.lanes
        # In LUT RAM, it would take 1,280 LUTs for words of 64 bytes.
        m.submodules.codes = codes = Memory(
            shape=data.ArrayLayout(8 * self.lanes, beats), depth=-(-self.max_words // 2), init=[],
            attrs={"ram_style": "block"})
        write, read = codes.write_port(granularity=1), codes.read_port()
        part, stored_word, stored = Signal(range(beats)), Signal.like(write.addr), Signal()
        m.d.comb += [
            self.i.ready.eq(~stored),
            write.addr.eq(stored_word), write.data.eq(Cat([self.i.p.values] * beats)),
            write.en.eq((self.i.valid & ~stored) << part),
        ]
        with m.If(self.i.valid & ~stored):
            m.d.sync += part.eq(part + 1)
            with m.If(part == beats - 1):
                m.d.sync += [part.eq(0), stored_word.eq(stored_word + 1)]
            with m.If(self.i.p.last):
                m.d.sync += [part.eq(0), stored_word.eq(0), stored.eq(1)]

        # Words: scales of a group, then its rows.
        in_group = Signal(range(group_rows + 1))   # 0: the scales come
        word, row = Signal(range(self.max_words)), Signal(range(self.max_rows + 1))
        scales = Signal(data.ArrayLayout(FLOAT32.width, group_rows), reset_less=True)
        taken, row_word, row_ends, valid_row = Signal(), Signal(), Signal(), Signal()
        choosing = Signal()   # all words of a job were taken, its choice was not
        self._room = Signal()   # for the logits of all rows that are under way, and one more
        m.d.comb += [
            self.i_words.ready.eq(stored & self.i_scale.valid & self.i_job.valid & ~choosing
                                  & self._room),
            taken.eq(self.i_words.valid & self.i_words.ready),
            row_word.eq(taken & (in_group != 0)),
            row_ends.eq(row_word & (word + 1 == job.row_words)),
            valid_row.eq(row_ends & (row < job.rows)),
            read.addr.eq(Mux(job.four_bits, word, word >> 1)),
        ]
        with m.If(taken & (in_group == 0)):
            m.d.sync += [Cat(scales).eq(Cat(self.i_words.p.data)), in_group.eq(1)]
        with m.If(row_word):
            m.d.sync += word.eq(word + 1)
        group_ends = row_ends & (in_group == group_rows)
        with m.If(row_ends):
            m.d.sync += [word.eq(0), row.eq(row + 1),
                         in_group.eq(Mux(group_ends, 0, in_group + 1))]
        job_ends = group_ends & (row + 1 >= job.rows)
        scale_row = Signal(FLOAT32.width)
        m.d.comb += scale_row.eq(scales[(in_group - 1)[:(group_rows - 1).bit_length()]])

        total, latency = self._dot(m, read.data, word)
        scale_x = self.i_scale.p.as_value()
        self._choose(m, total,
                     delay(m, Mux(job.four_bits, scale_row, scale_x), latency, "first_scale"),
                     delay(m, Mux(job.four_bits, scale_x, scale_row), latency, "second_scale"),
                     delay_pulse(m, valid_row, latency, "row_valid"),
                     delay(m, row, latency, "row_number"),
                     delay_pulse(m, job_ends, latency, "job_ends"), latency)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += choosing.eq(0)
        with m.If(job_ends):
            m.d.sync += [stored.eq(0), row.eq(0), choosing.eq(1)]
            m.d.comb += [self.i_job.ready.eq(1), self.i_scale.ready.eq(1)]
        return m

    def _dot(self, m: Module, codes, word: Signal) -> tuple[Signal, int]:
        """The sum of the row whose last word was taken some cycles ago, and how many."""
        registers = self.factor_cycles - 1
        x_word = delay(m, self.i_words.p.data, 1, "x_word")
        four = delay(m, self.i_job.p.four_bits, 1, "x_four_bits")
        upper = delay(m, word[0] & ~self.i_job.p.four_bits, 1, "x_upper")
        m.submodules.tree = tree = AdderTree(2 * self.word_bytes, 16)
        lower_codes, upper_codes = (Cat(codes).word_select(half, 8 * self.word_bytes)
                                    for half in (0, 1))
        met, above = (delay(m, value, registers, name) for name, value in (
            ("met", Mux(upper, upper_codes, lower_codes)), ("above", upper_codes)))
        for place in range(self.word_bytes):
            byte = x_word[place]
            low_code, high_code = (delay(m, code, registers, f"{name}_{place}") for name, code in (
                ("low_code", Mux(four, byte[:4].as_signed(), byte.as_signed())),
                ("high_code", Mux(four, byte[4:].as_signed(), 0))))
            for half, (activations, code) in enumerate((
                    (met, low_code), (above, high_code))):
                product = Signal(signed(16), name=f"product_{place}_{half}", reset_less=True)
                m.d.sync += product.eq(activations.word_select(place, 8).as_signed() * code)
                m.d.comb += tree.i[2 * place + half].eq(product)
        took_latency = self.factor_cycles + 1 + tree.latency
        took = delay_pulse(m, self.i_words.valid & self.i_words.ready, took_latency, "took")
        first = delay(m, word == 0, took_latency, "first_word")
        total = Signal(signed(self.sum_width), reset_less=True)
        with m.If(took):
            m.d.sync += total.eq(Mux(first, 0, total) + tree.o)
        return total, took_latency + 1

    def _give_logits(self, m: Module, valid: Value, logit: Value, latency: int) -> None:
        """Queue logits that come ``latency`` cycles behind their last word, of at least two."""
        under_way = latency // 2 + 2
        logits = queue_before(m, "logits", self.o_logits, 2 * under_way)
        m.d.comb += [logits.i.valid.eq(valid), logits.i.p.as_value().eq(logit)]
        m.d.sync += self._room.eq(logits.level < under_way)

    def _choose(self, m: Module, total: Signal, scale_1, scale_2, valid, row, ends,
                before: int) -> None:
        """Scale a row's sum by one and then the other; keep it if it is the largest so far.

        The sum comes ``before`` cycles behind the row's last word.
        """
        m.submodules.to_float = to_float = IntegerToFloat(FLOAT32, self.sum_width)
        m.submodules.once = once = FloatMultiply(FLOAT32)
        m.submodules.twice = twice = FloatMultiply(FLOAT32)
        m.submodules.compare = compare = FloatCompare(FLOAT32)
        latency = to_float.latency + once.latency + twice.latency
        self._give_logits(m, delay_pulse(m, valid, latency, "l_valid"), twice.o, before + latency)
        m.d.comb += [
            to_float.i.eq(total),
            once.i_a.eq(to_float.o),
            once.i_b.eq(delay(m, scale_1, to_float.latency, "once_by")),
            twice.i_a.eq(once.o),
            twice.i_b.eq(delay(m, scale_2, to_float.latency + once.latency, "twice_by")),
        ]
        # The best so far is compared with in one cycle and replaced in the next: rows are longer.
        best = Signal(choice_layout(self.max_rows), reset_less=True)
        none_yet = Signal(init=1)
        c_valid = delay_pulse(m, valid, latency + compare.latency, "c_valid")
        c_row = delay(m, row, latency + compare.latency, "c_row")
        c_logit = delay(m, twice.o, compare.latency, "c_logit")
        m.d.comb += [compare.i_a.eq(twice.o), compare.i_b.eq(best.logit)]
        with m.If(c_valid & (none_yet | compare.o_greater)):
            m.d.sync += [best.row.eq(c_row), best.logit.eq(c_logit), none_yet.eq(0)]
        m.d.comb += self.o.p.eq(best)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += [self.o.valid.eq(0), none_yet.eq(1)]
        with m.If(delay_pulse(m, ends, latency + compare.latency + 1, "all_compared")):
            m.d.sync += self.o.valid.eq(1)
