"""The accelerator's datapath around one memory port."""

from __future__ import annotations

from collections.abc import Callable

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out, connect, flipped

from ..hw.component import Component
from ..hw.memory.axi import read_signature, write_signature
from ..hw.rows.rms_norm import norm_layout
from .accelerator_parameters import AcceleratorParameters
from .attend_driver import AttendDriver
from .counters import Counters
from .descriptors import Operation, Post
from .events import COUNTERS, WIDTH
from .fetchers import DescriptorFetcher, TileFetcher
from .layouts import descriptor_layout
from .matmul_driver import MatmulDriver
from .quantize_driver import QuantizeDriver
from .registers import PATIENCE, TIMEOUT
from .routing import route
from .runs import RunError
from .sequencer import OPERATIONS, Sequencer, run_layout
from .units import OPTIONS, READERS, UNITS
from .vocabulary_drivers import EmbedDriver, HeadDriver

__all__ = ["Core"]


class Core(Component):
    """Run programs of descriptors: the whole decoder of a ternary model, prefill and decode.

    Rows of float32 numbers go from memory through norm and quantizer into the activation buffer;
    the matmul engine multiplies them with weight tiles; its outputs go through what ``Post`` says
    back to memory, or to the cache; attention and the head read memory by themselves. Weight tiles
    are fetched by a list of their own, ahead of the operations that use them, whenever nobody
    else needs the port.

    Parameters
    ----------
    parameters : AcceleratorParameters
        The sizes of the accelerator.

    Members
    -------
    i : ``In(stream.Signature(run_layout()))``
        Runs.
    read, write : ``Out(read_signature(...))``, ``Out(write_signature(...))``
        The AXI4 memory port.
    o_busy : ``Out(1)``
        A run is under way.
    o_error : ``Out(3)``
        A ``RunError``, until reset.
    o_port_errors : ``Out(...)``
        The ``PortError`` of reads and of writes.
    o_failed : ``Out(descriptor_layout())``
        The descriptor at which the error happened.
    o_counts : ``Out(...)``
        ``Counters.o``.
    o_token : ``Out(24)``, o_written : ``Out(1)``
        Memory has acknowledged this token in this cycle: it can be read behind the others.
    i_timeout, i_patience : ``In(32)``
        Cycles without an answer of memory, and without any progress, that are an error; 0: none.
    clear : ``In(1)``
        Counters back to 0.
    """

    def __init__(self, parameters: AcceleratorParameters) -> None:
        p = self.parameters = parameters
        super().__init__({
            "i": In(stream.Signature(run_layout())),
            "read": Out(read_signature(p.address_width, p.word_bytes)),
            "write": Out(write_signature(p.address_width, p.word_bytes)),
            "o_busy": Out(1), "o_error": Out(3),
            "o_port_errors": Out(data.StructLayout({"read": 3, "write": 3})),
            "o_failed": Out(descriptor_layout()),
            "o_counts": Out(data.StructLayout(dict.fromkeys(COUNTERS, WIDTH))), "clear": In(1),
            "o_token": Out(24), "o_written": Out(1),
            "i_timeout": In(32, init=TIMEOUT), "i_patience": In(32, init=PATIENCE),
        })

    def elaborate(self, platform):
        m = Module()
        self._add_units(m)
        self._add_control(m)
        self._connect_memory(m)
        self._connect_weights(m)
        self._connect_outputs(m)
        self._connect_rows(m)
        self._connect_attention_and_head(m)
        self._count(m)
        return m

    def _add(self, m: Module, name: str, component: Component) -> Component:
        m.submodules[name] = component
        return component

    def _add_units(self, m: Module) -> None:
        """Make ``self._reader`` and all others of ``UNITS``, and what there is of ``OPTIONS``."""
        p = self.parameters
        chosen = {name: make for name, (option, make) in OPTIONS.items() if getattr(p, option)}
        for name, make in (UNITS | chosen).items():
            setattr(self, f"_{name}", self._add(m, name, make(p)))

    def _add_control(self, m: Module) -> None:
        p = self.parameters
        self._sequencer = sequencer = self._add(m, "sequencer", Sequencer(p))
        self._descriptors = self._add(m, "descriptor_fetcher", DescriptorFetcher(p))
        self._tile_fetcher = self._add(m, "tile_fetcher", TileFetcher(p))
        kinds = {Operation.EMBED: EmbedDriver, Operation.QUANTIZE: QuantizeDriver,
                 Operation.MATMUL: MatmulDriver, Operation.ATTEND: AttendDriver,
                 Operation.HEAD: HeadDriver}
        self._drivers = {operation: self._add(m, f"{operation.name.lower()}_driver", kind(p))
                         for operation, kind in kinds.items()}
        issued = Signal(2)
        for number, operation in enumerate(OPERATIONS):
            driver = self._drivers[operation]
            m.d.comb += [
                driver.i_active.eq(sequencer.o_active[number]),
                driver.i_descriptor.eq(sequencer.o_descriptor),
                driver.i_state.eq(sequencer.o_state),
                sequencer.i_walked[number].eq(driver.o_walked),
            ]
            with m.If(sequencer.o_active[number]):
                m.d.comb += issued.eq(driver.o_issued)
        connect(m, flipped(self.i), sequencer.i)
        connect(m, self._descriptors.o, sequencer.i_descriptor)

        # What completes an issue: a row that was quantized, else a write that was acknowledged.
        quantized = self._quantizer.o.valid & self._quantizer.o.ready & self._quantizer.o.p.last
        written = self._write_master.o.valid
        quantizes = Signal()
        m.d.sync += quantizes.eq(self._is(Operation.QUANTIZE))
        invalid = Signal()
        too_long = self._tiles.too_long
        if p.scale_beats:
            too_long |= self._scales.too_long
        with m.If(self._unpacker.invalid | too_long):
            m.d.sync += invalid.eq(1)
        m.d.comb += [
            self._write_master.o.ready.eq(1),
            sequencer.i_issued.eq(issued + self._logits.o_issued),
            sequencer.i_completed.eq(Mux(quantizes, quantized, written)),
            sequencer.i_token.eq(self._drivers[Operation.HEAD].o_token),
            sequencer.i_fault.eq(Mux(
                self._reader.error != 0, RunError.READ, Mux(
                    self._write_master.error != 0, RunError.WRITE,
                    Mux(invalid, RunError.WEIGHTS, RunError.NONE)))),
            self.o_busy.eq(sequencer.o_busy), self.o_error.eq(sequencer.o_error),
            self.o_failed.eq(sequencer.o_failed),
            self.o_port_errors.read.eq(self._reader.error),
            self.o_port_errors.write.eq(self._write_master.error),
        ]
        # A HEAD ends when memory has acknowledged its token, or by an error.
        heads, headed = self._is(Operation.HEAD), Signal()
        m.d.sync += headed.eq(heads)
        m.d.comb += [
            self.o_token.eq(self._drivers[Operation.HEAD].o_token),
            self.o_written.eq(headed & ~heads & (sequencer.o_error == RunError.NONE)),
            sequencer.i_patience.eq(self.i_patience),
            self._reader.i_timeout.eq(self.i_timeout),
            self._write_master.i_timeout.eq(self.i_timeout),
        ]
        for fetcher in (self._descriptors, self._tile_fetcher):
            m.d.comb += fetcher.i_start.eq(sequencer.o_begin)
        m.d.comb += [
            self._descriptors.i_word.eq(sequencer.o_program),
            self._tile_fetcher.i_word.eq(sequencer.o_tiles),
            self._tile_fetcher.i_count.eq(sequencer.o_tile_count),
            self._tile_fetcher.i_state.eq(sequencer.o_state),
        ]

    def _is(self, operation: Operation) -> Value:
        return self._sequencer.o_active[OPERATIONS.index(operation)]

    def _post(self, *posts: Post) -> Value:
        """A MATMUL is being done with one of ``posts``."""
        post = self._sequencer.o_descriptor.post
        return self._is(Operation.MATMUL) & Cat(post == one for one in posts).any()

    def _route(self, m: Module, source, sink, enabled: Value,
               payload: Callable = lambda p: p) -> None:
        """``route`` while ``enabled``, which an operation and its descriptor say, from a register.

        A cycle late is in time: a driver gives nothing in its first cycle, and an operation has
        ended when nothing is under way.
        """
        late, disabled = Signal(name="enabled"), Signal(init=1, name="disabled")
        m.d.sync += [late.eq(enabled), disabled.eq(~enabled)]
        route(m, source, sink, late, payload, ~disabled)

    def _connect_memory(self, m: Module) -> None:
        reader, writer, master = self._reader, self._writer, self._write_master
        connect(m, reader.axi, flipped(self.read))
        connect(m, master.axi, flipped(self.write))
        connect(m, writer.o_request, master.i_request)
        connect(m, writer.o, master.i)
        ports = {name: (reader.i_request[number], reader.o[number])
                 for number, name in enumerate(READERS)}
        for name, unit in (("descriptors", self._descriptors), ("tiles", self._tile_fetcher),
                           ("row_source_a", self._row_source_a),
                           ("row_source_b", self._row_source_b), ("cache", self._attention)):
            connect(m, unit.o_request, ports[name][0])
            connect(m, ports[name][1], unit.i_words)
        request, words = ports["vocabulary"]
        head_driver = self._drivers[Operation.HEAD]
        self._route(m, self._embedding.o_request, request, self._is(Operation.EMBED))
        self._route(m, words, self._embedding.i_words, self._is(Operation.EMBED))
        self._route(m, head_driver.o_request, request, self._is(Operation.HEAD))
        self._route(m, words, self._head.i_words, self._is(Operation.HEAD))
        self._weight_port = ports["weights"]
        for number, (unit_request, unit_words) in enumerate((
                (self._sink.o_request, self._sink.o),
                (self._cache_writer.o_request, self._cache_writer.o),
                (head_driver.o_write, head_driver.o_word),
                (self._logits.o_request, self._logits.o))):
            connect(m, unit_request, writer.i_request[number])
            connect(m, unit_words, writer.i[number])

    def _connect_weights(self, m: Module) -> None:
        request, words = self._weight_port
        fetcher, unpacker, tiles = self._tile_fetcher, self._unpacker, self._tiles
        driver, engine = self._drivers[Operation.MATMUL], self._engine
        connect(m, fetcher.o_weights, request)
        if not self.parameters.scale_beats:
            connect(m, words, unpacker.i)
        connect(m, fetcher.o_tile, tiles.i_tile)
        for source, sink in ((unpacker.o, tiles.i), (tiles.o, engine.i_weights)):
            m.d.comb += [sink.p.eq(source.p), sink.valid.eq(source.valid),
                         source.ready.eq(sink.ready)]
        connect(m, driver.o_read, self._activations.i_read)
        connect(m, self._activations.o, engine.i_activations)
        connect(m, driver.o_scaling, self._dequantizer.i_scaling)
        if self.parameters.scale_beats:
            self._connect_groups(m, words)
            return
        connect(m, driver.o_job, engine.i_job)
        connect(m, self._activations.o_scale, self._dequantizer.i_scale)
        connect(m, engine.o, self._dequantizer.i)

    def _connect_groups(self, m: Module, words: stream.Interface) -> None:
        """What differs where weights may have several digits, and a scale for each group."""
        fetcher, engine, descriptor = (self._tile_fetcher, self._engine,
                                       self._sequencer.o_descriptor)
        splitter, scales, groups = self._splitter, self._scales, self._group_dequantizer
        connect(m, words, splitter.i)
        connect(m, splitter.o_weights, self._unpacker.i)
        connect(m, fetcher.o_split, splitter.i_tile)
        connect(m, fetcher.o_scales, scales.i_tile)
        for source, sink in ((splitter.o_scales, scales.i), (scales.o, groups.i_codes)):
            m.d.comb += [Value.cast(sink.p).eq(Value.cast(source.p)),
                         sink.valid.eq(source.valid), source.ready.eq(sink.ready)]
        connect(m, self._drivers[Operation.MATMUL].o_job, self._jobs.i)
        connect(m, self._jobs.o, engine.i_job)
        connect(m, self._digits.o, groups.i)
        m.d.comb += [
            self._jobs.i_times.eq(descriptor.rows), self._digits.i_digits.eq(descriptor.digits),
            groups.i_groups.eq(descriptor.rows), groups.i_row_blocks.eq(descriptor.row_blocks),
            self._activations.i_group.eq(descriptor.blocks),
        ]
        grouped, plain = self._grouped(True), self._grouped(False)
        for enabled, unit, sums in ((plain, self._dequantizer, self._dequantizer.i),
                                    (grouped, groups, self._digits.i)):
            self._route(m, engine.o, sums, enabled)
            self._route(m, self._activations.o_scale, unit.i_scale, enabled)

    def _grouped(self, groups: bool) -> Value:
        """A MATMUL is being done whose weights have scales of groups, or have none."""
        there = self._sequencer.o_descriptor.rows != 0
        return self._is(Operation.MATMUL) & (there if groups else ~there)

    def _connect_rows(self, m: Module) -> None:
        quantize, matmul, attend, embed = (self._drivers[operation] for operation in (
            Operation.QUANTIZE, Operation.MATMUL, Operation.ATTEND, Operation.EMBED))
        quantizes, attends = self._is(Operation.QUANTIZE), self._is(Operation.ATTEND)
        embeds, matmuls = self._is(Operation.EMBED), self._is(Operation.MATMUL)
        descriptor = self._sequencer.o_descriptor
        norms = quantizes & descriptor.norm
        turns = self._post(Post.ROTATE, Post.KEYS)

        # Where rows come from, and go to.
        self._route(m, quantize.o_a, self._row_source_a.i, quantizes)
        self._route(m, attend.o_a, self._row_source_a.i, attends)
        self._route(m, quantize.o_b, self._row_source_b.i, quantizes)
        self._route(m, matmul.o_b, self._row_source_b.i, matmuls)
        self._route(m, embed.o_row, self._sink.i_row, embeds)
        self._route(m, matmul.o_row, self._sink.i_row, matmuls)
        self._route(m, attend.o_row, self._sink.i_row, attends)
        turns_outputs = self._connect_norm(m, norms, turns)
        connect(m, matmul.o_heads, self._rotary.i_token)
        connect(m, matmul.o_head, self._cache_writer.i_head)

        def values(row: data.View) -> data.View:
            return row.values

        # Rows from memory.
        self._route(m, self._row_source_a.o, self._norm.i, norms)
        self._route(m, self._row_source_a.o, self._quantizer.i,
                    (quantizes & ~descriptor.norm) | attends)
        self._route(m, self._row_source_b.o, self._norm.i_weight, norms, values)
        self._route(m, self._row_source_b.o, self._residual.i_b, self._post(Post.ADD), values)
        self._route(m, self._row_source_b.o, self._angles.i, turns)
        connect(m, self._angles.o, self._rotary.i_angles)

        # Outputs of matmuls.
        outputs = self._outputs
        self._route(m, outputs, self._residual.i_a, self._post(Post.ADD), values)
        self._route(m, outputs, self._rotary.i, turns_outputs)
        self._route(m, outputs, self._gate.i, self._post(Post.GATE), values)
        self._route(m, outputs, self._quantizer.i, self._post(Post.VALUES))
        m.d.comb += self._gate.i_silu.eq(descriptor.silu)
        self._route(m, self._norm.o, self._quantizer.i, norms)
        self._route(m, self._rotary.o, self._quantizer.i, self._post(Post.KEYS))

        # To memory.
        self._route(m, self._residual.o, self._sink.i, self._post(Post.ADD))
        self._route(m, self._rotary.o, self._sink.i, self._post(Post.ROTATE), values)
        self._route(m, self._gate.o, self._sink.i, self._post(Post.GATE))
        self._route(m, self._attention.o, self._sink.i, attends, values)
        self._route(m, self._embedding.o, self._sink.i, embeds)

        # Codes.
        to_head = quantizes & descriptor.last_row
        to_buffer = quantizes & ~descriptor.last_row
        codes, scales = self._quantizer.o, self._quantizer.o_scale
        caches = self._post(Post.KEYS, Post.VALUES)
        for enabled, unit in ((to_buffer, self._activations), (caches, self._cache_writer)):
            self._route(m, codes, unit.i, enabled)
            self._route(m, scales, unit.i_scale, enabled)
        self._route(m, codes, self._attention.i_codes, attends)
        self._route(m, scales, self._attention.i_scale, attends)
        self._route(m, codes, self._head.i, to_head)
        self._route(m, scales, self._head.i_scale, self._is(Operation.HEAD))
        was_quantizing = Signal()
        m.d.sync += was_quantizing.eq(quantizes)
        m.d.comb += [
            self._activations.i_clear.eq(to_buffer & ~was_quantizing),
            self._activations.i_passes.eq(descriptor.passes),
        ]

    def _connect_norm(self, m: Module, norms: Value, turns: Value) -> Value:
        """The norm's constants; heads of queries and keys on their way to be turned.

        Returns when heads are turned that come as they are.
        """
        quantize, norm = self._drivers[Operation.QUANTIZE], self._norm
        if not self.parameters.head_norms:
            connect(m, quantize.o_norm, norm.i_norm)
            return turns
        descriptor = self._sequencer.o_descriptor
        norms_heads = turns & descriptor.norm
        constants = stream.Signature(norm_layout()).create()
        m.d.comb += [
            constants.p.inverse_width.as_value().eq(descriptor.z),
            constants.p.epsilon.as_value().eq(descriptor.y), constants.valid.eq(1),
        ]
        self._route(m, quantize.o_norm, norm.i_norm, norms)
        self._route(m, constants, norm.i_norm, norms_heads)
        self._route(m, self._drivers[Operation.MATMUL].o_a, self._row_source_a.i, norms_heads)
        self._route(m, self._row_source_a.o, norm.i_weight, norms_heads, lambda row: row.values)
        self._route(m, self._outputs, norm.i, norms_heads)
        self._route(m, norm.o, self._rotary.i, norms_heads)
        return turns & ~descriptor.norm

    def _connect_outputs(self, m: Module) -> None:
        """``self._outputs``, the scaled sums of matmuls, with their biases if they have any."""
        scaled = [(self._dequantizer.o, self._is(Operation.MATMUL))]
        if self.parameters.scale_beats:
            scaled = [(self._dequantizer.o, self._grouped(False)),
                      (self._group_dequantizer.o, self._grouped(True))]
        self._outputs = self._dequantizer.o
        if len(scaled) == 1 and not self.parameters.biases:
            return
        self._outputs = stream.Signature(self._outputs.p.shape()).create()
        has_bias = self._sequencer.o_descriptor.bias
        for source, enabled in scaled:
            if self.parameters.biases:
                self._route(m, source, self._bias.i, enabled & has_bias)
                self._route(m, source, self._outputs, enabled & ~has_bias)
            else:
                self._route(m, source, self._outputs, enabled)
        if self.parameters.biases:
            self._connect_bias(m, self._is(Operation.MATMUL) & has_bias)

    def _connect_bias(self, m: Module, biased: Value) -> None:
        bias = self._bias
        self._route(m, self._drivers[Operation.MATMUL].o_a, self._row_source_a.i, biased)
        self._route(m, self._row_source_a.o, bias.i_bias, biased, lambda row: row.values)
        self._route(m, bias.o, self._outputs, biased)

    def _connect_attention_and_head(self, m: Module) -> None:
        attend, embed, head = (self._drivers[operation] for operation in (
            Operation.ATTEND, Operation.EMBED, Operation.HEAD))
        connect(m, attend.o_pass, self._attention.i_pass)
        connect(m, embed.o_job, self._embedding.i)
        connect(m, head.o_job, self._head.i_job)
        connect(m, head.o_logits, self._logits.i_job)
        connect(m, self._head.o_logits, self._logits.i)
        m.d.comb += self._logits.i_drop.eq(~self._sequencer.o_state.logits)
        connect(m, self._head.o, head.i_choice)

    def _count(self, m: Module) -> None:
        counters = self._add(m, "counters", Counters())
        engine, head, attention = self._engine, self._head, self._attention
        event = counters.i

        def moves(port) -> Value:
            return port.valid & port.ready

        for operation in OPERATIONS:
            m.d.comb += getattr(event, f"{operation.name.lower()}_cycles").eq(self._is(operation))
        writes = self.write.wvalid & self.write.wready
        m.d.comb += [
            event.cycles.eq(self.o_busy),
            event.read_words.eq(self._reader.o_word),
            event.write_words.eq(writes),
            event.memory_waits.eq(self._reader.o_waiting),
            event.weight_beats.eq(moves(engine.i_weights)),
            event.engine_waits.eq(self._is(Operation.MATMUL) & ~moves(engine.i_weights)),
            event.table_passes.eq(moves(engine.i_activations)),
            event.attention_words.eq(moves(attention.i_words)),
            event.head_words.eq(moves(head.i_words)),
            event.tokens.eq(moves(head.o)),
            counters.clear.eq(self.clear),
            self.o_counts.eq(counters.o),
            self._sequencer.i_progress.eq(self._reader.o_word | writes | moves(engine.i_weights)),
        ]
