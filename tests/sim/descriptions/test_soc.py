"""Rates of a processor: by hand at the buckets, and by properties between them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.estimates import exact
from trilobite.sim.descriptions.presets import bundled_devices
from trilobite.sim.descriptions.quantity import Corner, Quantity
from trilobite.sim.descriptions.soc import Bucket, Heat, Rate, Soc, load_soc

RATES = [
    rate for device in bundled_devices().values() if isinstance(device, Soc)
    for processor in device.processors for rate in processor.rates
]


def two_buckets():
    return Rate("matmul", "int8", exact(10.0, "TOPS"), exact(100.0, "us"), (
        Bucket(exact(16, "tokens"), exact(0.1, "fraction")),
        Bucket(exact(64, "tokens"), Quantity(0.2, 0.4, 0.8, "fraction", "assumption", "a test")),
    ))


def test_efficiency_by_hand():
    rate = two_buckets()
    assert [rate.efficiency(tokens) for tokens in (1, 16, 64, 500)] == [0.1, 0.1, 0.4, 0.4]
    assert rate.efficiency(32) == pytest.approx(0.2)   # halfway on both logarithms
    assert rate.efficiency(64, Corner.WORST) == 0.2
    assert rate.seconds(4e12, 64) == pytest.approx(1.0)
    assert rate.seconds(4e12, 64, Corner.BEST) == pytest.approx(0.5)


@given(st.sampled_from(RATES), st.integers(1, 4096), st.integers(1, 4096),
       st.sampled_from(list(Corner)))
def test_no_corner_is_above_the_peak_and_more_tokens_are_never_slower_each(rate, few, more, corner):
    few, more = sorted((few, more))
    assert 0 < rate.efficiency(few, corner) <= rate.efficiency(more, corner) <= 1


@given(st.sampled_from(RATES), st.integers(1, 4096), st.floats(1.0, 1e15))
def test_the_corners_are_in_order(rate, tokens, operations):
    best, nominal, worst = (rate.seconds(operations, tokens, corner) for corner in
                            (Corner.BEST, Corner.NOMINAL, Corner.WORST))
    assert 0 < best <= nominal <= worst


def test_a_phone_stays_below_the_power_that_its_source_measured():
    """PowerInfer-2: 5.1 W for the whole Snapdragon 8 Gen 3 at its peak."""
    phone = load_soc("snapdragon-8-gen-3")
    for processor in phone.processors:
        dram = 8e-3 * processor.bandwidth.nominal * phone.dram.energy.nominal
        assert phone.power.idle.nominal + processor.power.nominal + dram <= 5.1


def test_a_module_stays_within_its_power_mode():
    module = load_soc("jetson-orin-nano")
    gpu = module.processor("GPU")
    dram = 8e-3 * gpu.bandwidth.nominal * module.dram.energy.nominal
    assert module.power.idle.nominal + gpu.power.nominal + dram == pytest.approx(25.0)


def test_rates_fall_towards_what_is_left_when_hot():
    heat = Heat(exact(0.5, "fraction"), exact(10.0, "min"))
    assert heat.slowdown(1e-9, Corner.NOMINAL) == pytest.approx(1)
    assert heat.slowdown(1e6, Corner.NOMINAL) == pytest.approx(2)
    assert heat.slowdown(10, Corner.NOMINAL) == pytest.approx(1 / (1 - 0.5 * (1 - math.exp(-1))))
