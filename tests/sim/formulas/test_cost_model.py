"""Estimates and reports take any cost model: they know no more of one than its protocol says."""

from dataclasses import dataclass, replace

import pytest

from support.estimates import KV260, LARGE, TLMM
from trilobite.sim.descriptions.quantity import Corner
from trilobite.sim.formulas.assembly import assemble_estimate
from trilobite.sim.formulas.cost_model import request_rates
from trilobite.sim.formulas.cycle_source import CountingMethod, DetailTable, TableRow
from trilobite.sim.formulas.energy import Energy
from trilobite.sim.formulas.estimate import FormulaCosts, estimate
from trilobite.sim.report import report_csv
from trilobite.sim.report.page import page

SECONDS = {Corner.BEST: 0.5, Corner.NOMINAL: 1.0, Corner.WORST: 4.0}


class Guessed:
    """Cycles that nobody counted."""

    method = CountingMethod("Guessed cycles", "that somebody dreamt of", (("Guessing", "By ear."),),
                    ("Everything.",))
    agreement = "compared with nothing"

    def table(self, estimates):
        return DetailTable("guesses", "All guesses", ("what", "guess"),
                           (TableRow("a token", f"of {len(estimates)}", ("7",)),))

    def to_json(self):
        return {"agreement": self.agreement}


class OwnCosts:
    """Operators as the formulas have them; seconds and joules are made up."""

    def __init__(self, tokens=9):
        known = FormulaCosts(LARGE, KV260, TLMM, 16, tokens)
        self.model, self.device, self.hardware = known.model, known.device, known.hardware
        self.prompt, self.tokens, self.cycles = 16, tokens, Guessed()
        self.weight_bytes = self.kv_bytes_per_position = 5
        self.supplies, self.contexts, self.engine_rate = known.supplies, (0, 10), 1e9
        free = dict.fromkeys(Corner, Energy(1.0, 2.0, 3.0, 4.0))
        self.prefill = replace(known.prefill, seconds=SECONDS, energies=free)
        self.decode = replace(known.decode, seconds=SECONDS, energies=free)
        self.timelines = known.timelines

    def first_token(self, corner):
        return 10 * SECONDS[corner]

    def per_token(self, corner):
        return SECONDS[corner]

    def token_energy(self, corner):
        return Energy(1.0, 1.0, 2.0, 2.0)

    def decode_seconds(self, context, corner):
        return (1 + context) * SECONDS[corner]

    def host_time(self, corner):
        return 0.0


def test_figures_follow_from_what_the_cost_model_says():
    result = assemble_estimate(OwnCosts())
    assert (result.first_token.low, result.first_token.nominal, result.first_token.high) == (
        5, 10, 40)
    assert (result.rate.low, result.rate.nominal, result.rate.high) == (0.25, 1, 2)
    assert result.decode_joules.nominal == 6
    assert result.request_joules.nominal == 10 + 8 * 6
    assert (result.power.low, result.power.nominal, result.power.high) == (
        2 / 0.5 + 4 / 4, 2 + 4, 2 / 4 + 4 / 0.5)   # work of one corner in the time of the other
    assert [point.rate.nominal for point in result.curve] == [1, 1 / 11]
    assert result.prefill.energy["total"].nominal == 10
    assert "host" not in result.decode.waits
    assert sum(result.decode.waits.values()) == pytest.approx(1)


def test_a_report_says_of_a_cost_model_what_that_says_of_itself():
    result = assemble_estimate(OwnCosts())
    html = page([result], {"trilobite": "0"})
    for said in ("Guessed cycles: compared with nothing.", "a design that somebody dreamt of.",
                 "All guesses", "By ear.", "Everything."):
        assert said in html
    assert "table-lookup engine</h2>" not in html
    assert result.to_json()["cycles"] == {"agreement": "compared with nothing"}
    assert report_csv([result]).count("\n") == 1 + 2 * (1 + len(result.decode.operators))


def test_the_formulas_are_one_of_them():
    costs = FormulaCosts(LARGE, KV260, TLMM, 16, 9)
    result, rates = estimate(LARGE, KV260, TLMM, 16, 9), request_rates(costs)
    assert (result.first_token, result.rate, result.per_token) == (
        rates.first_token, rates.rate, rates.per_token)
    assert result.decode.time.high == costs.decode.seconds[Corner.WORST]
    assert assemble_estimate(costs) == result != estimate(LARGE, KV260, TLMM, 16, 8)


@dataclass
class Steady:
    """A processor of which only two rates are known."""

    prompt_seconds: float
    token_seconds: float

    def first_token(self, corner):
        return self.prompt_seconds * SECONDS[corner]

    def per_token(self, corner):
        return self.token_seconds * SECONDS[corner]


def test_rates_of_a_request_need_seconds_alone():
    rates = request_rates(Steady(2.0, 0.1))
    assert (rates.first_token.low, rates.first_token.nominal, rates.first_token.high) == (1, 2, 8)
    assert rates.rate.nominal == pytest.approx(10) and rates.rate.high == pytest.approx(20)
