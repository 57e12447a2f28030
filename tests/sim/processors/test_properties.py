"""What holds of every estimate: all processors, classes of formats, engines, and families."""

import dataclasses

import pytest

from trilobite.sim.descriptions.presets import bundled_devices
from trilobite.sim.descriptions.quantity import Quantity
from trilobite.sim.descriptions.shapes import load_shape, shape_names
from trilobite.sim.descriptions.soc import Soc
from trilobite.sim.processors.engines import engines
from trilobite.sim.processors.estimate import estimate_processor
from trilobite.sim.processors.stored_format import format_names, stored_format

SOCS = {name: device for name, device in bundled_devices().items() if isinstance(device, Soc)}
SMALL = load_shape("smollm2-135m")
FORMATS = ("f16", "q8_0", "w8a8", "q4_k_m", "w4a16", "8da4w", "q4_1", "tq2_0")   # of every class


def check(found):
    """Ends in order, and parts that add up."""
    for value in (found.first_token, found.rate, found.per_token, found.decode_joules,
                  found.request_joules, found.power):
        assert 0 < value.low <= value.nominal <= value.high
    for phase in (found.prefill, found.decode):
        parts = sum(value.nominal for part, value in phase.energy.items() if part != "total")
        assert parts == pytest.approx(phase.joules.nominal)
        assert sum(one.time.nominal for one in phase.operators) == pytest.approx(
            phase.time.nominal)


def with_bandwidth(soc, factor):
    """``soc`` with ``factor`` times the bandwidth everywhere."""
    def more(quantity):
        return Quantity(*(factor * end for end in (quantity.low, quantity.nominal, quantity.high)),
                        quantity.unit, quantity.kind, quantity.source)

    room = Quantity(1 << 36, 1 << 36, 1 << 36, "B", "assumption", "room for every format")
    dram = dataclasses.replace(soc.dram, capacity=room, peak=more(soc.dram.peak),
                               sustained=more(soc.dram.sustained))
    return dataclasses.replace(soc, dram=dram, processors=tuple(
        dataclasses.replace(one, bandwidth=more(one.bandwidth)) for one in soc.processors))


@pytest.mark.parametrize("name", SOCS)
def test_every_processor_format_and_engine(name):
    soc, fast = (with_bandwidth(SOCS[name], factor) for factor in (1.0, 1.5))
    for processor in soc.processors:
        runs = [(form, one.name) for one in engines() for form in FORMATS
                if one.runs(processor, stored_format(form))][:: 2]
        for form, engine in [*((form, None) for form in FORMATS[::3]), *runs]:
            case = (processor.kind, stored_format(form), "f16", 24, 4, engine)
            found, faster = (estimate_processor(SMALL, one, *case) for one in (soc, fast))
            check(found)
            assert faster.per_token.nominal <= found.per_token.nominal
            assert faster.first_token.nominal <= found.first_token.nominal


def test_the_formats_are_of_every_class():
    assert {stored_format(form).weight_class for form in FORMATS} == {
        stored_format(form).weight_class for form in format_names()}


@pytest.mark.parametrize("name", shape_names())
def test_every_family(name):
    """On a machine whose memory holds all of them."""
    soc = SOCS["apple-m1-max"]
    model = load_shape(name)
    found = estimate_processor(model, soc, "gpu", stored_format("q4_0"), "f16", 64, 8)
    check(found)
    more = estimate_processor(model, with_bandwidth(soc, 2), "gpu", stored_format("q4_0"), "f16",
                              64, 8)
    assert more.rate.nominal >= found.rate.nominal
    batch = estimate_processor(model, soc, "gpu", stored_format("q4_0"), "f16", 64, 8, batch=4)
    check(batch)
    assert found.rate.nominal < batch.rate.nominal < 4 * found.rate.nominal
    later = estimate_processor(model, soc, "gpu", stored_format("q4_0"), "f16", 64, 8,
                               context=1000)
    assert later.rate.nominal < found.rate.nominal
    assert later.first_token.nominal > found.first_token.nominal
