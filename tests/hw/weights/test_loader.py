"""End to end: matrices in the DDR model, through the loader, into the table-lookup engine."""

import numpy as np
import pytest

from support.memory_bench import EngineBench, load_beats, request_beats, struct_beats
from trilobite.hw import TlmmParameters
from trilobite.hw.matmul.reference import matmul, pack_activations, pack_job, unpack_sums
from trilobite.hw.memory.axi import PortError
from trilobite.hw.weights.buffer_planner import plan_tiles
from trilobite.hw.weights.loader import WeightLoader
from trilobite.hw.weights.weight_layout import WeightLayout
from trilobite.quant.checkpoint import open_checkpoint
from trilobite.runtime.linear import make_linear
from trilobite.sim.descriptions.ddr_timing import DdrTiming
from trilobite.sim.verify.bench import Traffic, build, exchange, sample

# 240 trits per beat, 80 per word: three words for a beat, and the port is what bounds.
PARAMETERS = TlmmParameters(group_size=3, tables=10, columns=8, max_k=768, max_m=768)
LAYOUT = WeightLayout(PARAMETERS, 16)
DEPTH, BUFFER_BEATS = 8192, 512
REFRESHED = DdrTiming(latency=60, refresh_interval=195, refresh_cycles=9)
BENCH = {"depth": DEPTH, "timing": REFRESHED, "buffer_beats": BUFFER_BEATS, "max_burst": 64,
         "outstanding": 4}
STREAMS = ("i_load", "i_request", "i_tile", "i_job", "i_activations")


def random_problem(rng, M, K, N):
    return (rng.integers(-1, 2, (M, K)).astype(np.int8),
            rng.integers(-128, 128, (N, K)).astype(np.int8))


class Program:
    """Matrices laid down in memory one after the other, and what loads and multiplies them."""

    def __init__(self, layout=LAYOUT, **changed):
        self.layout = layout
        self.settings = BENCH | changed
        self.component = EngineBench(layout, **self.settings)
        self.images = []
        self.requests, self.tiles, self.jobs, self.activations, self.parts = [], [], [], [], []

    def multiply(self, trits, activations):
        """For each tile of a matrix, every token's job."""
        M, K = trits.shape
        N = len(activations)
        parameters = self.layout.parameters
        height = M
        if N > 1:
            height = plan_tiles(parameters, M, K, self.settings["buffer_beats"]).rows
        for first in range(0, M, height):
            tile = trits[first:first + height]
            place = sum(map(len, self.images))
            self.images.append(self.layout.pack(tile))
            self.requests.append((place, self.layout.words(len(tile), K)))
            self.tiles.append((parameters.passes(K) * parameters.blocks(len(tile)), N))
            self.jobs += [pack_job(parameters, K, len(tile))] * N
            self.activations.append(pack_activations(parameters, activations))
            self.parts.append((len(tile), N))

    @property
    def words(self):
        return sum(map(len, self.images))

    def traffic(self, **keywords):
        """Loading memory, and the run."""
        empty = np.empty((0, 1), np.uint8)
        load = load_beats(np.concatenate(self.images), self.settings["depth"])
        outputs = sum(N * self.layout.parameters.blocks(rows) for rows, N in self.parts)
        return [
            Traffic(dict.fromkeys(STREAMS, empty) | {"i_load": load}, {"o": 0}),
            Traffic({
                "i_load": empty,
                "i_request": request_beats(self.component, "i_request", self.requests),
                "i_tile": struct_beats(self.component, "i_tile", self.tiles),
                "i_job": np.concatenate(self.jobs),
                "i_activations": np.concatenate(self.activations),
            }, {"o": outputs}, **keywords),
        ]

    def sums(self, observed):
        """The sums of each tile, in order: int32 [N, rows]."""
        beats = observed.outputs["o"]
        sums = []
        for rows, N in self.parts:
            count = N * self.layout.parameters.blocks(rows)
            sums.append(unpack_sums(self.layout.parameters, beats[:count], rows))
            beats = beats[count:]
        return sums

    def run(self, **keywords):
        return exchange(build(self.component, "engine_bench"), self.traffic(**keywords))[1]


def test_a_layer_of_the_demo_model_is_bit_exact_with_the_runtime():
    rng = np.random.default_rng(0)
    with open_checkpoint("demo-bitnet") as checkpoint:
        weight = checkpoint.weight("model.layers.0.self_attn.k_proj.weight")
    trits = weight.codes().values
    q = rng.integers(-128, 128, (3, trits.shape[1])).astype(np.int8)
    program = Program()
    program.multiply(trits, q)
    sums = np.concatenate(program.sums(program.run()), axis=1)
    np.testing.assert_array_equal(sums, make_linear(weight, None).integer(q))


def test_decode_keeps_the_port_busy_across_matrices():
    """One token: the engine takes weights as fast as memory gives them, refresh aside."""
    rng = np.random.default_rng(1)
    program = Program()
    for M, K in ((256, 240), (240, 300), (200, 128), (256, 240)):
        trits, activations = random_problem(rng, M, K, 1)
        program.multiply(trits, activations)
    observed = program.run()
    start = REFRESHED.latency + PARAMETERS.latency + 10
    assert program.words / (observed.cycles - start) > 0.99 * REFRESHED.share


@pytest.mark.slow
def test_decode_on_the_kv260_engine_with_a_512_bit_port():
    layout = WeightLayout(TlmmParameters(group_size=3, tables=32, columns=16, max_k=8192,
                                         max_m=8192), 64)
    rng = np.random.default_rng(5)
    program = Program(layout, depth=1 << 15, buffer_beats=4096)
    problems = [random_problem(rng, M, K, 1)
                for M, K in ((1536, 1536), (2560, 1536), (1536, 1536))]
    for problem in problems:
        program.multiply(*problem)
    observed = program.run()
    for sums, problem in zip(program.sums(observed), problems, strict=True):
        np.testing.assert_array_equal(sums, matmul(*problem))
    start = REFRESHED.latency + layout.parameters.latency + 10
    print(f"{program.words} words in {observed.cycles} cycles")
    assert program.words / (observed.cycles - start) > 0.99 * REFRESHED.share


def test_loading_overlaps_computing_in_prefill():
    """Several tokens: the engine is what bounds; it waits for the first tile and for writes."""
    rng = np.random.default_rng(2)
    program = Program()
    for M, K in ((224, 120), (200, 150), (256, 120)):
        program.multiply(*random_problem(rng, M, K, 5))
    beats = sum(count * repeats for count, repeats in program.tiles)
    observed = program.run()
    start = REFRESHED.latency + PARAMETERS.entries + PARAMETERS.latency + 10
    first_round = LAYOUT.words(224, 120)
    loaded = sum(count for count, _ in program.tiles)
    assert beats <= observed.cycles - start <= beats + loaded + first_round


@pytest.mark.parametrize("stall", [0.2, 0.6])
def test_sums_are_exact_with_stalls_on_all_streams(stall):
    rng = np.random.default_rng(3)
    program = Program()
    problems = [random_problem(rng, *shape) for shape in
                ((50, 70, 3), (3, 250, 1), (256, 120, 2), (1, 1, 4), (130, 93, 1))]
    for problem in problems:
        program.multiply(*problem)
    sums = program.sums(program.run(stall=stall))
    for trits, activations in problems:
        rows = 0
        while rows < len(trits):
            part = sums.pop(0)
            expected = matmul(trits[rows:rows + part.shape[1]], activations)
            np.testing.assert_array_equal(part, expected)
            rows += part.shape[1]


def test_a_reset_at_any_time_leaves_an_engine_that_computes():
    rng = np.random.default_rng(4)
    program = Program()
    trits, activations = random_problem(rng, 120, 130, 2)
    program.multiply(trits, activations)
    load, whole = program.traffic()
    runs = [load]
    for cycles in range(20, 460, 55):
        runs += [program.traffic(reset_after=cycles)[1], whole]
    for observed in exchange(build(program.component, "engine_bench"), runs)[2::2]:
        np.testing.assert_array_equal(np.concatenate(program.sums(observed), axis=1),
                                      matmul(trits, activations))


@pytest.mark.icarus
def test_errors_stay_until_they_are_cleared():
    """A request of one word, answered with SLVERR and bytes that no encoder writes."""
    cycles, cleared = 30, 20
    ones, once, late = (np.zeros((cycles, 1), np.uint8) for _ in range(3))
    ones[:], once[3], late[cleared] = 1, 1, 1
    loader = WeightLoader(LAYOUT, buffer_beats=16, address_width=20, max_burst=4, outstanding=2)
    shown = sample(build(loader, "weight_loader", "icarus"), {
        "i_request__valid": once, "axi__arready": ones, "axi__rvalid": ones, "axi__rlast": ones,
        "axi__rresp": 2 * ones, "axi__rdata": np.full((cycles, 16), 255, np.uint8), "clear": late,
    })
    assert not shown["error"][:5].any()
    assert not shown["invalid"][:5].any()
    assert (shown["error"][10:cleared + 1] == PortError.SLAVE).all()
    assert (shown["invalid"][10:cleared + 1] == 1).all()
    assert not shown["error"][cleared + 1:].any()
    assert not shown["invalid"][cleared + 1:].any()
