"""Rows from memory to memory, through the shared port: reader, source, sink, writer."""

from functools import cache

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from support.memory_bench import load_beats, struct_beats
from trilobite.hw.matmul.reference import pack_floats, unpack_floats
from trilobite.hw.memory.axi import COUNT_WIDTH
from trilobite.hw.memory.shared_reader import SharedReader
from trilobite.hw.memory.shared_writer import SharedWriter
from trilobite.hw.memory.write_master import WriteMaster
from trilobite.hw.rows.elementwise import lanes_layout
from trilobite.hw.rows.row_fork import row_layout
from trilobite.hw.rows.row_sink import RowSink
from trilobite.hw.rows.row_source import RowSource
from trilobite.hw.unused import never_elaborated
from trilobite.sim.descriptions.ddr_timing import DdrTiming
from trilobite.sim.verify.bench import Traffic, build, exchange
from trilobite.sim.verify.bench.ddr import DdrModel

WORD_BYTES, LANES, MAX_BEATS, DEPTH = 16, 2, 40, 1 << 10
PORT = {"word_bytes": WORD_BYTES, "address_width": 20}
ROWS = {"lanes": LANES, "max_beats": MAX_BEATS, **PORT}
READERS = 2


class RowBench(wiring.Component):
    """Two sources that share the reading port, two sinks that share the writing port."""

    def __init__(self):
        self.memory = DdrModel(depth=DEPTH, timing=DdrTiming(latency=12), **PORT)
        bursts = {"max_burst": 4, "outstanding": 4, "count_width": COUNT_WIDTH, **PORT}
        self.reader = SharedReader(queues=(4, 12), **bursts)
        self.sources = [RowSource(**ROWS) for _ in range(READERS)]
        self.sinks = [RowSink(**ROWS) for _ in range(READERS)]
        self.writer = SharedWriter(writers=READERS, **PORT)
        self.master = WriteMaster(**bursts)
        row = self.sources[0].signature.members["i"]
        beats = stream.Signature(row_layout(lanes_layout(LANES)))
        ports = {"i_load": self.memory.signature.members["i_load"], "o_written": Out(
            stream.Signature(1))}
        for number in range(READERS):
            ports |= {f"i_read_{number}": row, f"i_write_{number}": row, f"o_{number}": Out(beats),
                      f"i_{number}": In(stream.Signature(lanes_layout(LANES)))}
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory, m.submodules.reader = self.memory, self.reader
        m.submodules.writer, m.submodules.master = self.writer, self.master
        connect(m, self.reader.axi, self.memory.read)
        connect(m, self.master.axi, self.memory.write)
        connect(m, self.writer.o_request, self.master.i_request)
        connect(m, self.writer.o, self.master.i)
        connect(m, self.master.o, flipped(self.o_written))
        connect(m, flipped(self.i_load), self.memory.i_load)
        for number, (source, sink) in enumerate(zip(self.sources, self.sinks, strict=True)):
            m.submodules[f"source_{number}"], m.submodules[f"sink_{number}"] = source, sink
            connect(m, source.o_request, self.reader.i_request[number])
            connect(m, self.reader.o[number], source.i_words)
            connect(m, sink.o_request, self.writer.i_request[number])
            connect(m, sink.o, self.writer.i[number])
            for outer, inner in ((f"i_read_{number}", source.i), (f"i_write_{number}", sink.i_row),
                                 (f"i_{number}", sink.i)):
                connect(m, flipped(getattr(self, outer)), inner)
            connect(m, source.o, flipped(getattr(self, f"o_{number}")))
        return m


@cache
def bench():
    return RowBench()


@cache
def simulation():
    return build(bench(), "row_bench")


def reads(rows):
    """Beats of ``i_read_n`` from (word, beats)."""
    return struct_beats(bench(), "i_read_0", rows)


def check_rows(memory, rows, beats):
    values = unpack_floats(beats[:, :4 * LANES], LANES * len(beats))
    wanted = np.concatenate([memory.ravel()[4 * word:4 * word + LANES * count]
                             for word, count in rows])
    np.testing.assert_array_equal(values.view(np.uint32), wanted.view(np.uint32))
    ends = np.flatnonzero(beats[:, -1]) + 1
    np.testing.assert_array_equal(ends, np.cumsum([count for _, count in rows]))


def random_rows(rng, count):
    return [(int(rng.integers(DEPTH - 24)), int(rng.integers(1, MAX_BEATS + 1)))
            for _ in range(count)]


@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_two_sources_share_the_port(stall):
    rng = np.random.default_rng(0)
    memory = rng.standard_normal((DEPTH, WORD_BYTES // 4)).astype(np.float32)
    rows = [random_rows(rng, 20) for _ in range(READERS)]
    load = Traffic({"i_load": load_beats(memory.view(np.uint8), DEPTH)}, {})
    run = Traffic({f"i_read_{number}": reads(rows[number]) for number in range(READERS)},
                  {f"o_{number}": sum(count for _, count in rows[number])
                   for number in range(READERS)}, stall=stall)
    observed = exchange(simulation(), [load, run])[1]
    for number in range(READERS):
        check_rows(memory, rows[number], observed.outputs[f"o_{number}"])


def test_a_reader_that_stops_does_not_hold_up_the_other():
    """The first source's row is not taken; the second one's all come."""
    rng = np.random.default_rng(1)
    memory = rng.standard_normal((DEPTH, WORD_BYTES // 4)).astype(np.float32)
    rows = random_rows(rng, 12)
    load = Traffic({"i_load": load_beats(memory.view(np.uint8), DEPTH)}, {})
    run = Traffic({"i_read_0": reads([(0, MAX_BEATS)]), "i_read_1": reads(rows)},
                  {"o_1": sum(count for _, count in rows)})
    check_rows(memory, rows, exchange(simulation(), [load, run])[1].outputs["o_1"])


@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_two_sinks_write_their_rows_and_nothing_else(stall):
    rng = np.random.default_rng(2)
    memory = rng.standard_normal((DEPTH, WORD_BYTES // 4)).astype(np.float32)
    places = rng.permutation(DEPTH // 24)[:16] * 24
    rows = [(int(place), int(rng.integers(1, MAX_BEATS + 1))) for place in places]
    values = [rng.standard_normal(LANES * count).astype(np.float32) for _, count in rows]
    inputs, expected = {}, memory.copy()
    for number in range(READERS):
        mine = range(number, len(rows), READERS)
        inputs[f"i_write_{number}"] = reads([rows[row] for row in mine])
        inputs[f"i_{number}"] = np.concatenate([pack_floats(values[row], LANES) for row in mine])
    for (word, _), row in zip(rows, values, strict=True):
        expected.ravel()[4 * word:4 * word + len(row)] = row
    load = Traffic({"i_load": load_beats(memory.view(np.uint8), DEPTH)}, {})
    write = Traffic(inputs, {"o_written": len(rows)}, stall=stall)
    back = Traffic({"i_read_1": reads([(word, 2) for word in range(DEPTH)])}, {"o_1": 2 * DEPTH})
    read = exchange(simulation(), [load, write, back])[2].outputs["o_1"]
    check_rows(expected, [(word, 2) for word in range(DEPTH)], read)


def test_words_that_do_not_hold_whole_beats_are_refused():
    for kind in (RowSource, RowSink):
        with never_elaborated(), pytest.raises(ValueError, match="does not hold whole beats of 3"):
            kind(**ROWS | {"lanes": 3})


def test_a_queue_shorter_than_a_burst_is_refused():
    with never_elaborated(), pytest.raises(ValueError, match="must hold a burst of 8 words"):
        SharedReader(queues=(8, 4), max_burst=8, outstanding=2, **PORT)
