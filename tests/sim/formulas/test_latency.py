"""Seconds of an operator, worked out by hand and by properties."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.estimates import KV260, LARGE, TLMM, changed, exact, machine
from trilobite.sim.descriptions.quantity import Corner
from trilobite.sim.formulas.workload import DramTraffic, Operator, step

CONFIG = LARGE.config
KINDS = st.sampled_from(["tlmm", "integer", "vector"])


def operator(name, tokens=1, past=127, hardware=TLMM):
    workload = step(CONFIG, hardware.layout(CONFIG, 1), tokens, past)
    return next(one for one in workload.operators if one.name == name)


def test_a_decoded_matrix_by_hand():
    # 16 passes x 96 blocks of 16 x 32 x 5 bits = 491,520 B at 16 GB/s. The engine needs 1,558
    # cycles; the buffer's port writes 1,536 beats and reads them. 256 cycles at the start.
    time = machine().time(operator("q_proj"))
    assert time.memory == pytest.approx(491_520 / 16e9)
    assert machine().matmul_cycles(operator("q_proj")) == 1_558
    assert time.compute == pytest.approx(3_072 / 250e6)
    assert time.start == pytest.approx(256 / 250e6)
    assert time.total == pytest.approx(31.744e-6)   # 1.024 + max(12.288, 30.72)
    assert time.waits_for == "memory"


def test_a_decoded_head_by_hand():
    # 32,002 rows of 1,536 B and a scale, at 16 GB/s; 128 lanes at 80 %.
    time = machine().time(operator("lm_head"))
    assert time.memory == pytest.approx(3.0802e-3, rel=1e-4)
    assert time.compute == pytest.approx(32_002 * 1_536 / (128 * 0.8) / 250e6)


def test_an_elementwise_operator_by_hand():
    # Norm and quantizer: three passes of 1,536 elements over 16 lanes at 80 %; 6,144 B of weights.
    time = machine().time(operator("input_norm"))
    assert time.compute == pytest.approx(360 / 250e6)
    assert time.memory == pytest.approx(6_144 / 16e9)
    assert time.total == pytest.approx((256 + 360) / 250e6 + 0.5 * 6_144 / 16e9)   # half overlaps


def test_a_prompt_passes_over_the_tiles_of_a_matrix():
    # Half of 40 URAM holds 2,304 rows of 16 x 32 x 5 bits, so 4,096 rows are two tiles. Each is
    # 15 + (128 x 16 - 1) x blocks + blocks + 7 cycles, of 144 and of 112 blocks.
    gate, nominal = operator("gate_proj", tokens=128, past=0), machine()
    assert nominal.tile_rows(gate) == 2_304
    assert nominal.matmul_cycles(gate) == 294_934 + 229_398
    assert nominal.bytes(gate) == gate.traffic.total   # the weights come once
    assert nominal.time(gate).waits_for == "compute"


def test_a_beat_that_is_hardly_wider_than_the_memory_waits_for_the_buffers_port():
    # Beats of 8 x 16 x 5 = 640 bits come every 1.25 cycles, and take two of the port.
    hardware = changed(TLMM, tlmm={"tables": exact(8), "columns": exact(16)})
    matrix = operator("q_proj", hardware=hardware)
    time = machine(hardware=hardware).time(matrix)
    assert time.compute == pytest.approx(2 * 64 * 96 / 250e6)
    assert time.waits_for == "compute"
    bare = changed(hardware, storage={"weight_buffer": exact(0)})
    assert machine(hardware=bare).time(matrix).waits_for == "memory"


def test_a_buffer_too_small_for_a_tile_loads_weights_per_token():
    hardware = changed(TLMM, storage={"weight_buffer": exact(1_024)})
    gate, small = operator("gate_proj", tokens=128, past=0), machine(hardware=hardware)
    assert small.tile_rows(gate) == 0
    assert small.bytes(gate) == 128 * gate.traffic.weights
    assert small.time(gate).total > machine().time(gate).total


@pytest.mark.parametrize(("overlap", "total"), [(1.0, 3e-6), (0.5, 4e-6), (0.0, 5e-6)])
def test_overlap_goes_from_the_larger_to_the_sum(overlap, total):
    hardware = changed(
        TLMM, clock={"start": exact(0)}, overlap={"integer": exact(overlap)},
        integer={"efficiency": exact(1.0)},
    )
    # 500 cycles of 128 MACs, 2 us; 48,000 B at 16 GB/s, 3 us.
    work = Operator("work", "integer", 1, 1, macs=64_000, traffic=DramTraffic(weights=48_000))
    assert machine(hardware=hardware).time(work).total == pytest.approx(total)


def test_a_small_operator_waits_for_its_start():
    assert machine().time(operator("attn_residual")).waits_for == "start"


def test_provenance_follows_what_is_waited_for():
    prefill, decode = operator("q_proj", tokens=128, past=0), operator("q_proj")
    assert machine().obtained(prefill) == "formula"
    assert machine().obtained(decode) == "source"   # DRAM bandwidth, cited
    fast = changed(KV260, dram={"sustained": exact(1e3), "peak": exact(1e3)})
    assert machine(fast, cycles={(1536, 1536): 1_570}).obtained(decode) == "rtl"
    assert machine(fast).obtained(decode) == "formula"
    assert machine().obtained(operator("attn_residual")) == "assumption"
    assert machine().obtained(operator("attention_scores", tokens=128, past=0)) == "assumption"


def test_sustained_bandwidth_never_exceeds_the_peak():
    assert machine(changed(KV260, dram={"sustained": exact(50.0)})).bandwidth == 19.2e9


@given(KINDS, st.integers(0, 10**9), st.integers(0, 10**8), st.floats(1.0, 100.0))
def test_more_bandwidth_is_never_slower(unit, work, size, factor):
    shape = (64, 96) if unit == "tlmm" else None
    run = Operator(
        "run", unit, 1, 1, macs=work, elements=work, shape=shape, traffic=DramTraffic(weights=size)
    )
    dram = {"sustained": exact(10.0), "peak": exact(1e4)}
    slow = machine(changed(KV260, dram=dram)).time(run)
    fast = machine(changed(KV260, dram={**dram, "sustained": exact(10.0 * factor)})).time(run)
    assert fast.total <= slow.total
    assert slow.total >= max(slow.compute, slow.memory)


@given(st.sampled_from([1, 2, 7, 64]), st.integers(0, 900))
def test_corners_are_in_order_and_nothing_is_used_beyond_its_peak(tokens, past):
    workload = step(CONFIG, TLMM.layout(CONFIG, tokens), tokens, past)
    best, nominal, worst = (machine(corner=corner) for corner in Corner)
    for run in workload.operators:
        assert 0 < best.time(run).total <= nominal.time(run).total <= worst.time(run).total
        for corner in (best, nominal, worst):
            seconds = corner.time(run).total
            assert corner.bytes(run) / seconds <= 19.2e9
            lanes = {"tlmm": 1_536, "integer": 128}.get(run.unit)
            assert lanes is None or run.macs / seconds <= lanes * corner.frequency
