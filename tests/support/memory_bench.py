"""What stands on the DDR model in a bench, as one component made of streams."""

import numpy as np
from amaranth.hdl import Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import Out, connect, flipped

from trilobite.hw.matmul.tlmm import Tlmm
from trilobite.hw.memory.read_master import ReadMaster
from trilobite.hw.memory.write_master import WriteMaster
from trilobite.hw.weights.loader import WeightLoader
from trilobite.sim.verify.bench.ddr import DdrModel


class MemoryBench(wiring.Component):
    """A read master and a write master on one memory; their streams are the ports."""

    def __init__(self, *, depth, word_bytes, timing, max_burst, outstanding, address_width=20):
        port = {"word_bytes": word_bytes, "address_width": address_width}
        self.memory = DdrModel(depth=depth, timing=timing, **port)
        self.masters = [kind(max_burst=max_burst, outstanding=outstanding, **port)
                        for kind in (ReadMaster, WriteMaster)]
        read, write = self.masters
        super().__init__({
            "i_load": self.memory.signature.members["i_load"],
            "i_read": read.signature.members["i_request"],
            "i_write": write.signature.members["i_request"],
            "i_words": write.signature.members["i"],
            "o": read.signature.members["o"],
            "o_written": write.signature.members["o"],
            "errors": Out(data.StructLayout({"read": 3, "write": 3})),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = self.memory
        m.submodules.read, m.submodules.write = read, write = self.masters
        connect(m, read.axi, memory.read)
        connect(m, write.axi, memory.write)
        for outer, inner in ((self.i_load, memory.i_load), (self.i_read, read.i_request),
                             (self.i_write, write.i_request), (self.i_words, write.i),
                             (self.o, read.o), (self.o_written, write.o)):
            connect(m, flipped(outer), inner)
        m.d.comb += [self.errors.read.eq(read.error), self.errors.write.eq(write.error)]
        return m


class EngineBench(wiring.Component):
    """A table-lookup engine whose weights come from memory; activations and jobs are ports."""

    def __init__(self, layout, *, depth, timing, buffer_beats, max_burst, outstanding,
                 address_width=24):
        self.memory = DdrModel(depth=depth, timing=timing, word_bytes=layout.word_bytes,
                               address_width=address_width)
        self.loader = WeightLoader(layout, buffer_beats=buffer_beats, max_burst=max_burst,
                                   outstanding=outstanding, address_width=address_width)
        self.engine = Tlmm(layout.parameters)
        super().__init__({
            "i_load": self.memory.signature.members["i_load"],
            **{name: self.loader.signature.members[name] for name in ("i_request", "i_tile")},
            **{name: self.engine.signature.members[name] for name in
               ("i_job", "i_activations", "o")},
            "error": Out(3),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = self.memory
        m.submodules.loader = loader = self.loader
        m.submodules.engine = engine = self.engine
        connect(m, loader.axi, memory.read)
        connect(m, loader.o, engine.i_weights)
        for outer, inner in ((self.i_load, memory.i_load), (self.i_request, loader.i_request),
                             (self.i_tile, loader.i_tile), (self.i_job, engine.i_job),
                             (self.i_activations, engine.i_activations), (self.o, engine.o)):
            connect(m, flipped(outer), inner)
        m.d.comb += self.error.eq(loader.error)
        return m


def load_beats(words, depth, first=0):
    """Beats of ``i_load`` that put uint8 [words, word_bytes] into memory from word ``first`` on."""
    size = -(-(depth - 1).bit_length() // 8)
    places = np.arange(first, first + len(words), dtype="<u8").view(np.uint8).reshape(-1, 8)
    return np.concatenate([words, places[:, :size]], axis=1)


def request_beats(component, stream_name, requests):
    """Beats of a request stream: (first word, count)."""
    return struct_beats(component, stream_name, [(word, count - 1) for word, count in requests])


def struct_beats(component, stream_name, rows):
    """Beats of a stream whose payload has two fields."""
    layout = getattr(component, stream_name).payload.shape()
    (_, first), (_, second) = layout
    size = -(-layout.size // 8)
    return np.frombuffer(
        b"".join((low << first.offset | high << second.offset).to_bytes(size, "little")
                 for low, high in rows), np.uint8).reshape(-1, size)
