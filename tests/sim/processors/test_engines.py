"""Which engine runs what where, and what it reaches."""

import pytest

from trilobite.errors import EstimateError
from trilobite.sim.descriptions.soc import load_soc
from trilobite.sim.measurements.rows import measurements
from trilobite.sim.processors.engines import (
    choose_engine,
    engine_called,
    engine_names,
    engines,
)
from trilobite.sim.processors.rates import choose_processor
from trilobite.sim.processors.shares import shares_of
from trilobite.sim.processors.stored_format import format_names, stored_format


def choose(device, kind, form, name=None):
    soc = load_soc(device)
    return choose_engine(soc, choose_processor(soc, kind), stored_format(form), name)


def shares(device, kind, form, name):
    soc = load_soc(device)
    processor, stored = choose_processor(soc, kind), stored_format(form)
    return shares_of(soc, processor, choose_engine(soc, processor, stored, name), stored)


def test_engines_have_names_of_their_own_and_formats_that_there_are():
    assert len(set(engine_names())) == len(engine_names())
    assert {"llama.cpp", "executorch", "mlc", "bitnet.cpp", "t-mac", "onnxruntime",
            "trilobite"} <= set(engine_names())
    for engine in engines():
        assert set(engine.formats) <= set(format_names()), engine.name


def test_every_engine_that_a_measurement_names_is_known():
    unknown = {row.engine for row in measurements() if engine_called(row.engine) is None}
    assert unknown == {"not said"}


def test_the_first_engine_that_reads_a_format_is_taken():
    assert choose("raspberry-pi-5", "cpu", "q4_k_m").name == "llama.cpp"
    assert choose("rk3588", "npu", "w8a8").name == "rkllm"
    assert choose("snapdragon-8-gen-3", "npu", "w4a16").name == "genie"
    assert choose("raspberry-pi-5", "cpu", "i2_s").name == "bitnet.cpp"
    assert choose("ethos-u85", "npu", "q4_0") is None


@pytest.mark.parametrize(("case", "message"), [
    (("raspberry-pi-5", "cpu", "q4_0", "vllm"), "no engine 'vllm'; known are llama.cpp"),
    (("raspberry-pi-5", "cpu", "w8a8", "rkllm"),
     "rkllm does not run on the CPU of Raspberry Pi 5; those that do are llama.cpp"),
    (("snapdragon-8-gen-3", "cpu", "q4_0", "executorch"),
     "executorch does not read q4_0; it reads f32, f16"),
])
def test_an_engine_that_cannot_is_refused(case, message):
    with pytest.raises(EstimateError, match=message):
        choose(*case)


def test_engines_differ_on_one_processor():
    ours = shares("snapdragon-8-gen-3", "cpu", "f16", "executorch")
    theirs = shares("snapdragon-8-gen-3", "cpu", "f16", "llama.cpp")
    assert ours.compute > 1.5 * theirs.compute   # as measured, before llama.cpp had such kernels
    assert ours.evidence == theirs.evidence == "engine"


def test_what_was_measured_is_less_in_doubt():
    known = shares("raspberry-pi-5", "cpu", "q4_0", "llama.cpp")
    none = shares("ryzen-ai-krackan", "cpu", "q4_0", "llama.cpp")
    assert (known.evidence, none.evidence) == ("engine", "none")
    assert shares("raspberry-pi-5", "cpu", "q4_0", "llamafile").evidence == "processor"
    assert all(1 < known.doubt[phase] <= none.doubt[phase] for phase in ("prefill", "decode"))
