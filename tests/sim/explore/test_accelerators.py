"""Designs of the front as whole accelerators: their parameters, predictions, and RTL."""

import dataclasses

import pytest

from trilobite.errors import TrilobiteError
from trilobite.hw import TlmmParameters
from trilobite.npu import ArrayParameters, Stationary
from trilobite.sim.descriptions.accelerator import load_accelerator
from trilobite.sim.descriptions.device import load_device
from trilobite.sim.descriptions.shapes import load_shape
from trilobite.sim.explore.accelerators import (
    Counted,
    Whole,
    accelerator_of,
    check_accelerator,
    predict_whole,
    whole_json,
)
from trilobite.sim.explore.search import Found
from trilobite.sim.explore.space import Design
from trilobite.sim.predictions.accelerator_estimate import estimate_accelerator
from trilobite.sim.verify.cycles.cases import HARDWARE

KV260 = load_accelerator("kv260").whole()
DEVICE = load_device("kv260")
LARGE = load_shape("bitnet-0.73b")
ENGINE = dataclasses.replace(KV260.tlmm, max_k=8192)   # as the search has them
ARRAY = ArrayParameters(Stationary.WEIGHT, rows=8, lanes=4, tokens=64)


def found(engine=ENGINE, **changes):
    design = Design("KV260", "ternary", {}, **{
        "lanes": 4, "queries": 4, "mhz": 250.0, "urams": 36, "policy": "whole", "kv_bits": 8,
        **changes})
    return Found(design, engine, 21.0, 0.2, 80.0, 0.1, 1e5, 0.8, 500, 7.0, 0.3)


def test_the_design_of_the_configuration_is_the_configuration():
    """5,120 bits a beat are 36 URAM side by side, of 2,048 words."""
    assert accelerator_of(found()) == KV260


def test_a_smaller_design_by_hand():
    """8 tables of 5 bits and 16 columns: 640 bits, 5 URAM side by side, 3 of them behind each
    other of 16. Its beats of activations are a quarter as long, so there are four times as many."""
    engine = TlmmParameters(group_size=3, tables=8, columns=16, max_k=8192, max_m=8192)
    parameters = accelerator_of(found(engine, lanes=2, queries=2, urams=16, policy="chunked-16"))
    assert parameters.weight_beats == 3 * 2048
    assert parameters.activation_beats == 4 * KV260.activation_beats
    assert (parameters.lanes, parameters.queries, parameters.max_tokens) == (2, 2, 16)
    assert parameters.tlmm == dataclasses.replace(engine, max_k=6912, max_m=8192)
    for policy, tokens in (("chunked-128", 64), ("layered-8", 64)):
        assert accelerator_of(found(policy=policy)).max_tokens == tokens


def test_what_rtl_does_not_have_is_refused():
    with pytest.raises(TrilobiteError, match="no accelerator around the INT4 x FP8 array"):
        accelerator_of(found(ARRAY))
    with pytest.raises(TrilobiteError, match="35 URAM hold no weight buffer, which takes 36"):
        accelerator_of(found(urams=35))


def test_an_engine_whose_columns_do_not_divide_the_model_is_refused():
    engine = dataclasses.replace(ENGINE, columns=24)
    with pytest.raises(TrilobiteError, match="intermediate_size is 4096, which is no multiple of"):
        predict_whole(found(engine, urams=40), LARGE, DEVICE, 3, 4)


def test_a_prediction_is_that_of_the_estimate():
    kv260 = load_accelerator("kv260")
    clock = kv260.formulas.clock.frequency.nominal
    whole = predict_whole(found(mhz=clock), LARGE, DEVICE, 3, 4)
    estimate = estimate_accelerator(LARGE, DEVICE, kv260, 3, 4)
    assert whole.first_token == pytest.approx(estimate.first_token.nominal)
    assert whole.tokens_per_second == pytest.approx(estimate.rate.nominal)
    slower = predict_whole(found(mhz=125.0), LARGE, DEVICE, 3, 4)
    assert whole.tokens_per_second / 2 < slower.tokens_per_second < whole.tokens_per_second


def test_errors_are_those_of_the_formulas():
    assert Whole(0.4, 64.0).errors(found()) == {
        "first_token": pytest.approx(-0.5), "tokens_per_second": pytest.approx(0.25)}
    assert Counted((100, 200), (99, 204)).worst_error == pytest.approx(0.02)
    row = whole_json(found(), Whole(0.4, 64.0), Counted((100,), (99,)))
    assert row["predicted"] == {"first_token": 0.4, "tokens_per_second": 64.0}
    assert row["rtl"]["counted"] == (100,)
    assert whole_json(found(), "none", None)["reason"] == "none"


@pytest.mark.slow
def test_an_accelerator_in_rtl_takes_the_predicted_cycles():
    counted = check_accelerator(HARDWARE["small"].parameters)
    assert len(counted.counted) == 2 and counted.worst_error <= 0.01
