"""Serving on a processor of a SoC: what batches cost, and a system that is saturated."""

import pytest

from trilobite.errors import EstimateError
from trilobite.sim.descriptions.quantity import Corner
from trilobite.sim.descriptions.shapes import load_shape
from trilobite.sim.descriptions.soc import load_soc
from trilobite.sim.processors.estimate import estimate_processor
from trilobite.sim.processors.stored_format import stored_format
from trilobite.sim.serving import ProcessorBatchCosts, Request, serve
from trilobite.sim.serving.batch import Batch, Piece, RequestProgress
from trilobite.sim.serving.policies import POLICIES

MODEL, SOC = load_shape("qwen3-0.6b"), load_soc("raspberry-pi-5")
REQUEST = estimate_processor(MODEL, SOC, "cpu", stored_format("q4_0"), "f16", 40, 3).costs
COSTS = ProcessorBatchCosts(REQUEST)
LAYERS = MODEL.config.num_layers


def piece(tokens, past=0, first=0, last=LAYERS, yields=True):
    return Piece(RequestProgress(Request(0.0, tokens, 1), 0.0), tokens, past, first, last, yields)


def test_one_piece_costs_what_the_request_costs():
    seconds, joules = COSTS.cost([piece(40)])
    assert seconds == pytest.approx(REQUEST.first_token(Corner.NOMINAL), rel=1e-4)
    assert joules == pytest.approx(REQUEST.prefill.energies[Corner.NOMINAL].total, rel=1e-4)
    assert COSTS.decode([99])[0] == pytest.approx(
        REQUEST.decode_seconds(99, Corner.NOMINAL), rel=1e-4)


def test_a_batch_shares_the_weights():
    one, four = COSTS.decode([50])[0], COSTS.decode([50] * 4)[0]
    assert one < four < 4 * one


def test_layers_in_two_groups_cost_what_they_cost_at_once():
    half = LAYERS // 2
    parts = [COSTS.cost([piece(30, last=half, yields=False)])[0],
             COSTS.cost([piece(30, first=half)])[0]]
    assert sum(parts) == pytest.approx(COSTS.cost([piece(30)])[0], rel=1e-6)
    assert sum(cost[0] for cost in COSTS.sequence(Batch((piece(30),)))) == pytest.approx(sum(parts))


@pytest.mark.parametrize("policy", POLICIES)
def test_too_many_requests_saturate_and_few_do_not(policy):
    few = [Request(60.0 * index, 8, 4) for index in range(4)]
    many = [Request(0.01 * index, 8, 4) for index in range(20)]
    assert not serve(COSTS, few, POLICIES[policy](), slots=2).saturated
    crowded = serve(COSTS, many, POLICIES[policy](), slots=2)
    assert crowded.saturated and crowded.backlog > 10


def test_memory_is_counted_with_all_caches():
    with pytest.raises(EstimateError, match="the memory of Raspberry Pi 5 holds"):
        serve(COSTS, [Request(0.0, 30_000, 4)] * 40, POLICIES["whole"](), slots=40)
