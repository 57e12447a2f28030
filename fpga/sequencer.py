"""The sequencer, which runs programs: descriptor after descriptor, step after step."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from ..hw.component import Component
from ..hw.memory.axi import COUNT_WIDTH
from .accelerator_parameters import AcceleratorParameters
from .descriptors import Operation, Post
from .layouts import descriptor_layout, state_layout
from .registers import PATIENCE
from .runs import RUN_FIELDS, RunError

__all__ = ["Sequencer", "run_layout"]

OPERATIONS = (Operation.EMBED, Operation.QUANTIZE, Operation.MATMUL, Operation.ATTEND,
              Operation.HEAD)


def run_layout() -> data.StructLayout:
    """A run: where its lists begin, and its first step.

    ``program`` and ``tiles`` are words; ``tokens`` from ``position`` on are the first step, which
    chooses a token if ``new_tokens`` is not 0; then come steps of one token each until
    ``new_tokens`` have been chosen, or ``end_token`` has. With ``logits``, those of each
    choice go to memory before it.
    """
    return data.StructLayout(RUN_FIELDS)


class Sequencer(Component):
    """Give each operation of a program to its driver, and go on when it is done.

    An operation is done when its driver has walked through it and everything that it issued has
    been completed. Descriptors are checked before anything is done with them, which takes three
    cycles: so long before ``o_active`` the drivers have ``o_descriptor``. After an error the
    sequencer stops where it is (``o_error``) until a reset.

    Parameters
    ----------
    parameters : AcceleratorParameters
        The sizes of the accelerator.

    Members
    -------
    i : ``In(stream.Signature(run_layout()))``
        Runs. One is taken when it begins.
    i_descriptor : ``In(stream.Signature(descriptor_layout()))``
        The descriptors that ``DescriptorFetcher`` reads.
    o_begin : ``Out(1)``, o_program, o_tiles : ``Out(32)``, o_tile_count : ``Out(COUNT_WIDTH)``
        A step begins: the fetchers start.
    o_active : ``Out(1).array(5)``
        Which driver is to work, in the order of ``OPERATIONS``.
    o_descriptor, o_state : ``Out(...)``
        The operation that it is to do, and the tokens that it concerns.
    i_walked : ``In(1).array(5)``
        The driver has walked through the operation.
    i_issued, i_completed : ``In(2)``, ``In(1)``
        What the active driver issues, and what has been completed, in this cycle.
    i_token : ``In(32)``
        The token chosen last.
    i_fault : ``In(3)``
        A ``RunError`` that another part reports.
    i_progress : ``In(1)``
        Something moved in this cycle.
    i_patience : ``In(32)``
        Cycles without any progress after which a run is stuck; 0: it never is.
    o_busy : ``Out(1)``
        A run has begun and not ended.
    o_error : ``Out(3)``
        A ``RunError``, until reset.
    o_failed : ``Out(descriptor_layout())``
        While there is an error: the descriptor at which it happened.
    """

    def __init__(self, parameters: AcceleratorParameters) -> None:
        self.parameters = parameters
        count = len(OPERATIONS)
        super().__init__({
            "i": In(stream.Signature(run_layout())),
            "i_descriptor": In(stream.Signature(descriptor_layout())),
            "o_begin": Out(1), "o_program": Out(32), "o_tiles": Out(32),
            "o_tile_count": Out(COUNT_WIDTH),
            "o_active": Out(1).array(count), "i_walked": In(1).array(count),
            "o_descriptor": Out(descriptor_layout()), "o_state": Out(state_layout(parameters)),
            "i_issued": In(2), "i_completed": In(1), "i_token": In(32), "i_fault": In(3),
            "i_progress": In(1), "i_patience": In(32, init=PATIENCE),
            "o_busy": Out(1), "o_error": Out(3), "o_failed": Out(descriptor_layout()),
        })

    def elaborate(self, platform):
        m = Module()
        d, state = self.o_descriptor, self.o_state
        run = Signal(run_layout())
        new_tokens = Signal(16)
        pending = Signal(24)
        # What is issued counts a cycle late, and so does a walk's end: no operation ends before.
        issued, ended = Signal.like(self.i_issued), Signal()
        m.d.sync += [issued.eq(self.i_issued),
                     pending.eq(pending + issued - self.i_completed)]
        m.d.comb += [
            self.o_program.eq(run.program), self.o_tiles.eq(run.tiles),
            self.o_tile_count.eq(run.tile_count),
        ]

        fault = Signal(3)
        m.d.comb += fault.eq(Mux(self.i_fault != 0, self.i_fault, self._stuck(m)))
        problem, too_many_tokens = self._problem(m, d), self._too_many_tokens(m, self.i.p)
        walked = Array(self.i_walked)[(d.operation - 1)[:3]]
        skipped = (new_tokens == 0) & (d.last_row | (d.operation == Operation.HEAD))
        steps_on = (new_tokens > 1) & (self.i_token != run.end_token)
        m.d.comb += self.o_failed.eq(d)

        with m.FSM():
            with m.State("idle"), m.If(self.i.valid):
                m.next = "count"
            with m.State("count"):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += [
                    run.eq(self.i.p), new_tokens.eq(self.i.p.new_tokens),
                    state.tokens.eq(self.i.p.tokens), state.position.eq(self.i.p.position),
                    state.logits.eq(self.i.p.logits),
                    self.o_busy.eq(1),
                ]
                m.next = "begin"
                with m.If(too_many_tokens):
                    m.d.sync += self.o_error.eq(RunError.TOKENS)
                    m.next = "failed"
            with m.State("begin"):
                m.d.comb += self.o_begin.eq(1)
                m.next = "decode"
            with m.State("decode"):
                with m.If(self.i_descriptor.valid):
                    m.d.comb += self.i_descriptor.ready.eq(1)
                    m.d.sync += d.eq(self.i_descriptor.p)
                    m.next = "multiply"
                self._fail(m, fault)
            with m.State("multiply"):
                m.next = "compare"
                self._fail(m, fault)
            with m.State("compare"):
                m.next = "check"
                self._fail(m, fault)
            with m.State("check"):
                m.next = "execute"
                m.d.sync += ended.eq(0)
                with m.If(problem != 0):
                    m.d.sync += self.o_error.eq(problem)
                    m.next = "failed"
                with m.Elif(d.operation == Operation.END):
                    m.next = "end"
                with m.Elif(skipped):
                    m.next = "decode"
                with m.Else():
                    m.d.sync += Cat(self.o_active).eq(1 << (d.operation - 1)[:3])
                self._fail(m, fault)
            with m.State("execute"):
                m.d.sync += ended.eq(walked)
                with m.If(ended & (pending == 0)):
                    m.d.sync += Cat(self.o_active).eq(0)
                    m.next = "decode"
                self._fail(m, fault)
            with m.State("end"):
                m.d.sync += [state.position.eq(state.position + state.tokens), state.tokens.eq(1)]
                with m.If(new_tokens != 0):
                    m.d.sync += new_tokens.eq(new_tokens - 1)
                with m.If(steps_on):
                    m.next = "begin"
                with m.Else():
                    m.d.sync += self.o_busy.eq(0)
                    m.next = "idle"
            with m.State("failed"):
                m.d.sync += [self.o_busy.eq(0), Cat(self.o_active).eq(0)]
        return m

    def _fail(self, m: Module, fault: Signal) -> None:
        """In this state a fault of another part ends the run."""
        with m.If(fault != 0):
            m.d.sync += self.o_error.eq(fault)
            m.next = "failed"

    def _stuck(self, m: Module) -> Signal:
        """Count down the cycles without progress; ``RunError.STUCK`` where none are left."""
        left, progress, stuck = Signal(32), Signal(), Signal(3)
        m.d.sync += progress.eq(self.i_progress | ~self.o_busy)
        with m.If(progress):
            m.d.sync += left.eq(self.i_patience)
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
            m.d.sync += stuck.eq(Mux(left == 1, RunError.STUCK, RunError.NONE))
        return stuck

    def _too_many_tokens(self, m: Module, run) -> Value:
        """Whether ``run``, which was the same in the cycle before, is too long."""
        p = self.parameters
        last = Signal(range((1 << 24) + (2 << 16)))
        m.d.sync += last.eq(run.position + run.tokens
                            + Mux(run.new_tokens == 0, 0, run.new_tokens - 1))
        return (run.tokens == 0) | (run.tokens > p.max_tokens) | (last > p.max_context)

    def _problem(self, m: Module, d) -> Signal:
        """The ``RunError`` of a descriptor that this accelerator cannot do.

        It is right two cycles after ``d`` and the step's tokens have become what they are: products
        are registers, and so are comparisons.
        """
        too_large = Signal(len(OPERATIONS))
        m.d.sync += too_large.eq(self._products(m, d) | self._too_large_fields(m, d))
        problem = Signal(3)
        with m.Switch(d.operation):
            with m.Case(Operation.END):
                pass
            for number, operation in enumerate(OPERATIONS):
                with m.Case(operation):
                    m.d.comb += problem.eq(Mux(too_large[number], RunError.SIZE, RunError.NONE))
            with m.Default():
                m.d.comb += problem.eq(RunError.OPERATION)
        with m.If((d.operation == Operation.MATMUL) & (d.post > max(Post))):
            m.d.comb += problem.eq(RunError.OPERATION)
        return problem

    def _products(self, m: Module, d) -> Signal:
        """A bit for each of ``OPERATIONS``, a cycle later: a product exceeds its limit."""
        p, tokens = self.parameters, self.o_state.tokens
        columns = p.tlmm.columns

        def product(name: str, one: Value, other: Value | int, most: int) -> Value:
            result = one * other
            kept = Signal(result.shape(), name=name)
            m.d.sync += kept.eq(result)
            return kept > most

        activations = product("activations", d.passes, tokens, p.activation_beats)
        width = product("width", d.blocks, columns, p.max_width)
        head_dim = product("head_dim", d.row_blocks, columns, p.max_head_dim)
        heads = product("query_heads", d.heads, d.group, p.max_heads)
        beats = product("head_beats", d.head_words, p.word_beats, p.max_beats)
        gates = d.post == Post.GATE
        digits: Value = Const(0, 1)
        if p.scale_beats:
            digits = product("digit_blocks", d.blocks, d.digits, p.tlmm.max_blocks)
        exceeds = {
            Operation.EMBED: 0,
            Operation.QUANTIZE: ~d.last_row & activations,
            Operation.MATMUL: activations | digits | (width & ~(gates & ~d.bias)) | (
                head_dim & ~gates & (d.post != Post.ADD)),
            Operation.ATTEND: heads | beats,
            Operation.HEAD: 0,
        }
        result = Signal(len(OPERATIONS), name="products_too_large")
        m.d.comb += result.eq(Cat(Value.cast(exceeds[operation]).bool()
                                  for operation in OPERATIONS))
        return result

    def _lacks(self, d) -> Value:
        """Whether a MATMUL asks for what this accelerator was made without."""
        p = self.parameters
        lacks = [d.bias & d.norm]   # both come the same way
        lacks += [d.bias] * (not p.biases) + [d.norm] * (not p.head_norms)
        lacks += [d.rows != 0, d.digits != 0] * (not p.scale_beats)
        return Cat(lacks).any()

    def _too_large_fields(self, m: Module, d) -> Signal:
        """A bit for each of ``OPERATIONS``, a cycle later: a field of ``d`` exceeds its limit."""
        p = self.parameters

        def outside(value: Value, most: Value | int) -> Value:
            return (value == 0) | (value > most)

        passes = outside(d.passes, p.max_row_passes)
        chunks = outside(d.chunks, p.attention.max_chunks)
        row_words = -(-p.max_width // p.word_bytes)
        turned_or_cached = (d.post != Post.ADD) & (d.post != Post.GATE)
        blocks = outside(d.blocks, p.tlmm.max_blocks) | outside(d.last_blocks, d.blocks)
        too_large = {
            Operation.EMBED: outside(d.beats, p.max_beats),
            Operation.QUANTIZE: outside(d.beats, p.max_beats) | (~d.last_row & passes),
            Operation.MATMUL: (
                passes | blocks | (d.tiles == 0) | outside(d.row_blocks, d.blocks)
                | (turned_or_cached & (outside(d.heads, p.max_heads)
                                       | outside(d.group, p.max_heads)))
                | (((d.post == Post.KEYS) | (d.post == Post.VALUES)) & chunks)
                | self._lacks(d)),
            Operation.ATTEND: chunks | (d.heads == 0) | (d.group == 0) | (d.head_words == 0),
            Operation.HEAD: (outside(d.rows, p.max_vocabulary)
                             | outside(d.tile_words, Mux(d.four_bits, -(-row_words // 2),
                                                         row_words))),
        }
        result = Signal(len(OPERATIONS), name="fields_too_large")
        m.d.sync += result.eq(Cat(too_large[operation] for operation in OPERATIONS))
        return result
