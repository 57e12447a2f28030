"""Prefill and decode on a SoC: by hand on a small one, and what must hold on every bundled one."""

import dataclasses

import pytest

from support.estimates import exact, small_config
from trilobite.sim.descriptions.device import Dram
from trilobite.sim.descriptions.presets import bundled_devices
from trilobite.sim.descriptions.quantity import Corner
from trilobite.sim.descriptions.soc import Bucket, Processor, Rate, Soc, SocPower, load_soc
from trilobite.sim.studies.soc_tasks import (
    LayerPlacement,
    LayerShape,
    chunked_prefill,
    decode_step,
    soc_system,
)

SOCS = {name: one for name, one in bundled_devices().items() if isinstance(one, Soc)}


def processor(name, kind, tops, start=0.0, bandwidth=10.0):
    rate = Rate(
        "matmul", "int8", exact(tops, "TOPS"), exact(start, "us"),
        (Bucket(exact(4, "tokens"), exact(0.5, "fraction")),),
    )
    return Processor(name, kind, exact(bandwidth, "GB/s"), exact(1.0, "W"), (rate,))


def small_soc(sustained=15.0):
    return Soc(
        "small", "soc",
        Dram(exact(1e9, "B"), exact(20.0, "GB/s"), exact(sustained, "GB/s"), exact(5.0, "pJ/bit")),
        SocPower(exact(0.5, "W")),
        (processor("CPU", "cpu", 4e-9), processor("NPU", "npu", 2e-9, start=1e6)),
    )


def test_a_prefill_by_hand():
    # The NPU does 1,000 operations a second and launches for a second, the CPU does 2,000.
    shape = LayerShape(layers=1, width=5, before=((5, 10),), after=((10, 10),))
    timeline = chunked_prefill(
        small_soc(), shape, 8, 4, LayerPlacement("NPU", "int8", "CPU", "int8", weight_bytes=0.0)
    )
    spans = {name: (one.start, one.end) for name, one in timeline.by_name.items()}
    before, after = 1 + 0.4, 1 + 0.8
    first, second = 4 * 10 * 5 / 2000, 4 * 26 * 5 / 2000   # 10 pairs, then 16 more
    # While attention of chunk 0 runs, the NPU takes chunk 1; then the earlier chunk goes first.
    assert spans == {
        "chunk 000 layer 000 before": (0, pytest.approx(before)),
        "chunk 000 layer 000 attention": (
            pytest.approx(before), pytest.approx(before + first)),
        "chunk 001 layer 000 before": (pytest.approx(before), pytest.approx(2 * before)),
        "chunk 001 layer 000 attention": (
            pytest.approx(2 * before), pytest.approx(2 * before + second)),
        "chunk 000 layer 000 after": (
            pytest.approx(2 * before), pytest.approx(2 * before + after)),
        "chunk 001 layer 000 after": (
            pytest.approx(2 * before + after), pytest.approx(2 * before + 2 * after)),
    }


def test_the_shape_of_a_model():
    config = small_config()
    shape = LayerShape.of(config)
    assert shape.width == 8
    assert shape.before == ((8, 8), (4, 8), (4, 8))
    assert shape.after == ((8, 8), (12, 8), (12, 8), (8, 12))
    assert shape.parameters == 2 * (64 + 32 + 32 + 64 + 3 * 96)


def test_decode_on_two_processors_shares_the_memory_and_both_end_together():
    timeline = decode_step(small_soc(), ("CPU", "NPU"), 30e9)
    assert timeline.makespan == pytest.approx(2)
    assert [span.end for span in timeline.spans] == pytest.approx([2, 2])
    assert decode_step(small_soc(), ("NPU",), 30e9).makespan == pytest.approx(3)
    assert decode_step(small_soc(sustained=40.0), ("CPU", "NPU"), 30e9).makespan == (
        pytest.approx(1.5)
    )


@pytest.mark.parametrize("soc", SOCS.values(), ids=SOCS)
def test_energy_of_a_decoded_token_is_in_order_at_the_corners(soc):
    for one in soc.processors:
        best, nominal, worst = (
            decode_step(soc, (one.name,), 1e9, corner)
            for corner in (Corner.BEST, Corner.NOMINAL, Corner.WORST)
        )
        assert best.makespan <= nominal.makespan <= worst.makespan
        assert 0 < best.energy.total <= nominal.energy.total <= worst.energy.total


@pytest.mark.parametrize("soc", SOCS.values(), ids=SOCS)
def test_more_memory_bandwidth_is_never_slower(soc):
    sustained = soc.dram.sustained
    doubled = dataclasses.replace(soc, dram=dataclasses.replace(
        soc.dram, sustained=dataclasses.replace(
            sustained, nominal=2 * sustained.nominal, high=2 * sustained.high
        ),
    ))
    readers = [one.name for one in soc.processors]
    shape = LayerShape.of(small_config(num_layers=4))
    linear = soc.processors[-1]
    place = LayerPlacement(linear.name, linear.rates[0].precision, linear.name,
                      linear.rates[0].precision, weight_bytes=1e4)
    for run in (lambda one: decode_step(one, readers, 1e9),
                lambda one: chunked_prefill(one, shape, 500, 64, place)):
        assert run(doubled).makespan <= run(soc).makespan * (1 + 1e-9)


def test_the_phones_processors_are_units_with_their_own_limits():
    system = soc_system(load_soc("snapdragon-8-gen-3"))
    assert {name: unit.limits["DRAM"] for name, unit in system.units.items()} == {
        "CPU": 43.9e9, "GPU": 50e9, "NPU": 56e9,
    }
    assert system.channels["DRAM"].bandwidth == 59.6e9
