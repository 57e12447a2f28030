"""Step-3's dollars and PTE, by hand; their published tables are in validation."""

import pytest

from support.estimates import exact
from trilobite.sim.formulas.prices import (
    Prices,
    TokenWork,
    attention_cost,
    ffn_cost,
    pte,
    pte_gamma,
    total_cost,
)

CHEAP_BYTES = Prices("reads", exact(4.0), exact(1.0))
CHEAP_FLOP = Prices("computes", exact(1.0), exact(10.0))
WORK = TokenWork(attention=3.0, projections=2.0, ffn=7.0, kv_bytes=5.0)


def test_attention_costs_the_dearer_of_arithmetic_and_reads():
    assert attention_cost(WORK, CHEAP_BYTES) == max(12, 5) + 8
    assert attention_cost(WORK, CHEAP_FLOP) == max(3, 50) + 2
    assert ffn_cost(WORK, CHEAP_FLOP) == 7


def test_each_part_runs_where_it_is_cheapest():
    assert total_cost(WORK, [CHEAP_BYTES, CHEAP_FLOP]) == 20 + 7


def test_pte_by_hand():
    gamma = pte_gamma(
        layers=2, hidden=10, active_parameters=400, kv_heads=1, query_heads=2, flop_per_byte=5
    )
    assert gamma == pytest.approx(0.25)
    assert pte(gamma, [(100, 120, 8), (10, 4, 1)]) == 100 + 240 + 10 + 1
