"""Two runs beside each other, the table, and the timeline."""

import csv
import io
import json
import re

import pytest
from typer.testing import CliRunner

from support.estimates import KV260, LARGE, TLMM, TWO_BILLION, small_shape
from trilobite.cli import app
from trilobite.errors import EstimateError
from trilobite.sim.events import Span, Task
from trilobite.sim.formulas.estimate import estimate
from trilobite.sim.report import compare_runs, read_run, report_csv, report_json, timeline_chart
from trilobite.sim.report.breakdown import cycle_split
from trilobite.sim.report.page import page
from trilobite.sim.report.table_file import COLUMNS
from trilobite.sim.report.timeline_chart import timelines


@pytest.fixture(scope="module")
def before():
    return estimate(LARGE, KV260, TLMM, 64, 8)


@pytest.fixture(scope="module")
def now():
    return estimate(LARGE, KV260, TLMM, 32, 8)


def test_figures_of_two_runs(before, now):
    compared, = compare_runs(json.loads(json.dumps(report_json([before]))),
                             [estimate(TWO_BILLION, KV260, TLMM, 8, 8), now])
    assert compared["model"] == LARGE.name
    assert "prompt 64" in compared["before"] and "prompt 32" in compared["now"]
    first = compared["figures"][0]
    assert first["before"] == before.first_token.nominal
    assert first["now"] == now.first_token.nominal
    assert first["ratio"] == pytest.approx(first["now"] / first["before"])
    assert [one["better"] for one in compared["figures"][:2]] == [True, True]
    back, = compare_runs(report_json([now]), [before])
    assert [one["better"] for one in back["figures"][:2]] == [False, False]
    same, = compare_runs(report_json([now]), [now])
    assert {one["better"] for one in same["figures"]} == {None}
    shown = page([now], {}, [compared])
    assert "Compared with the earlier run" in shown and "better" in shown
    assert "earlier run" not in page([now], {})


@pytest.mark.parametrize(("text", "sentence"), [
    (None, "cannot be read"), ("{", "is not the JSON"), ("[]", "is not the JSON"),
    ('{"estimates": [{}]}', r"estimates\[0\]\.model is missing"),
    ('{"estimates": {}}', "estimates must be a list"), ("[" * 100_000, "is not the JSON"),
])
def test_a_file_that_is_no_run_is_refused(tmp_path, text, sentence):
    path = tmp_path / "run.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(EstimateError, match=sentence):
        read_run(path)


def test_a_figure_that_is_not_finite_is_refused(tmp_path, before):
    document = json.loads(json.dumps(report_json([before])))
    document["estimates"][0]["rate"]["nominal"] = float("inf")
    path = tmp_path / "run.json"
    path.write_text(json.dumps(document))
    with pytest.raises(EstimateError, match=r"estimates\[0\]\.rate\.nominal is Infinity, which"):
        read_run(path)


@pytest.mark.parametrize(("place", "value"), [
    (("rate", "nominal"), 10**400), (("rate", "nominal"), float("nan")), (("rate",), -1.0),
    (("rate",), 1e-320), (("rate",), 1e300), (("rate",), [1]), (("rate",), "1"), (("rate",), True),
    (("model", "name"), ["x"]), (("hardware", "name"), 3), (("prompt",), {}), (("tokens",), None),
    (("decode",), 3), (("model",), "x"),
])
def test_a_value_of_an_earlier_run_that_cannot_be_is_refused(tmp_path, before, place, value):
    document = json.loads(json.dumps(report_json([before])))
    holder = document["estimates"][0]
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    path = tmp_path / "run.json"
    path.write_text(json.dumps(document))
    with pytest.raises(EstimateError, match="run.json is not the JSON of trilobite estimate: "):
        read_run(path)


def test_the_table_has_a_line_for_every_operator(before):
    rows = list(csv.DictReader(io.StringIO(report_csv([before]))))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == len(before.prefill.operators) + len(before.decode.operators) + 2
    for name, phase in (("prefill", before.prefill), ("decode", before.decode)):
        of_phase = [row for row in rows if row["phase"] == name]
        seconds = sum(float(row["time_s"]) for row in of_phase)
        assert seconds == pytest.approx(phase.time.nominal, rel=1e-12)
        moved = sum(int(row["dram_bytes"] or 0) for row in of_phase)
        assert moved == phase.dram_bytes


def test_the_timeline_shows_every_operator_of_both_steps(before):
    drawn = timelines(before)
    layers = LARGE.config.num_layers
    for phase in (before.prefill, before.decode):
        for cost in phase.operators:
            if cost.operator.count == layers:
                assert drawn.count(f"layer 3 {cost.operator.name}:") == 2   # one for each phase
    assert drawn.count("<svg") == 4
    assert drawn.count(f"layer {layers // 2} gate_proj:") == 4   # and enlarged


@pytest.mark.parametrize("layers", [40, 160])
def test_bars_of_very_many_operators_are_drawn_as_one(layers, monkeypatch):
    result = estimate(small_shape(num_layers=layers), KV260, TLMM, 8, 4)
    every = timelines(result)
    monkeypatch.setattr(timeline_chart, "_MOST", 60)
    monkeypatch.setattr(timeline_chart, "_NARROWEST", 820 / 50)   # 50 of them fill a row
    folded = timelines(result)
    assert every.count("<rect") > 2 * 20 * layers                 # two phases
    assert folded.count("<rect") < 2 * 2 * 5 * (60 + 1)           # the enlarged layers, five rows
    numbers = [int(count) for count in re.findall(r"<title>(\d+) from layer \d+ ", folded)]
    assert sum(numbers) > 2 * 15 * layers
    busy = re.compile(r'text-anchor="end">(\d+ %)<')
    assert busy.findall(folded) == busy.findall(every) != []


def test_a_row_of_40960_operators_has_at_most_as_many_bars_as_it_is_wide():
    bars = [Span(Task(f"{n:06}", "vector", compute=1.0), n, n + 1.0) for n in range(4096 * 10)]
    folded = list(timeline_chart._folded(bars, 0.0, bars[-1].end))
    assert sum(map(len, folded)) == len(bars)
    assert len(folded) <= 820 / 0.4 + 1


def test_cycles_by_what_they_are_for_add_up(before):
    split = cycle_split(before)
    assert split.count("<svg") == 2
    hertz = TLMM.clock.frequency.nominal * 1e6
    for phase in (before.prefill, before.decode):
        assert f"{phase.time.nominal * hertz:,.0f}" in split


def test_the_command_compares_and_writes_a_table(tmp_path):
    run, table = tmp_path / "run.json", tmp_path / "table.csv"
    first = CliRunner().invoke(app, ["estimate", "bitnet-0.73b", "--json", str(run)])
    assert first.exit_code == 0, first.output
    again = CliRunner().invoke(app, [
        "estimate", "bitnet-0.73b", "--prompt", "64", "--compare", str(run), "--csv", str(table),
        "--json", "-"])
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["compared"][0]["figures"][0]["better"]
    assert table.read_text().startswith("model,device,")
    bad = CliRunner().invoke(app, ["estimate", "bitnet-0.73b", "--compare", str(table)])
    assert bad.exit_code == 2 and "is not the JSON" in bad.output
