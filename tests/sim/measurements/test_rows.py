"""The published measurements, and the page that compares estimates with them."""

from pathlib import Path

import pytest

import trilobite
from support.command import run, run_json
from trilobite.sim.descriptions.shapes import shape_names
from trilobite.sim.descriptions.tables import bundled_names
from trilobite.sim.measurements.errors import Compared, compare_all, error_sentence, spread
from trilobite.sim.measurements.page import page
from trilobite.sim.measurements.rows import PHASES, measurements
from trilobite.sim.processors.stored_format import format_names


def test_there_are_rows_of_many_devices_and_sources():
    rows = measurements()
    assert len(rows) >= 120
    assert len({row.device for row in rows}) >= 10
    assert len({row.source for row in rows}) >= 20
    assert len(set(rows)) == len(rows)


@pytest.mark.parametrize("row", measurements(), ids=lambda row: f"{row.device}-{row.phase}")
def test_a_row_says_what_was_measured_and_where_it_stands(row):
    assert row.device in bundled_names("devices") and row.model in shape_names()
    assert row.format in format_names() and row.processor in ("cpu", "gpu", "npu")
    assert row.unit == PHASES[row.phase] and row.value > 0
    assert (row.prompt > 0) == (row.phase in ("prefill", "first-token"))
    assert (row.context > 0) == (row.phase in ("decode", "power"))
    assert row.source and row.where and row.engine


def test_sources_are_split_before_anything_is_fitted():
    """The rule as it was written down: these go where they go, whatever the constants become."""
    found = {row.source: row.is_held_out for row in measurements()}
    assert found["https://justine.lol/matmul/"]
    assert found["https://github.com/geerlingguy/ai-benchmarks/issues/7"]
    assert not found["https://github.com/brand-o/normiebench/issues/8"]
    assert 10 <= sum(found.values()) <= len(found) - 10


def test_every_row_has_an_estimate():
    assert [one.why for one in compare_all() if one.predicted is None] == []


def test_the_page_is_what_the_command_prints():
    written = Path(trilobite.__file__).parent / "docs" / "explanation" / "measured.md"
    assert written.read_text("utf-8") == page(), (
        "python -m trilobite.sim.measurements > docs/explanation/measured.md")


def test_errors_are_of_nominal_over_measured():
    one = next(one for one in compare_all() if one.measured.phase == "decode")
    assert one.error == pytest.approx(one.predicted.nominal / one.measured.value - 1)
    count, median, worst = spread([one, Compared(one.measured, None, "nothing")])
    assert (count, median, worst) == (1, abs(one.error), abs(one.error))
    assert spread([]) is None


def test_a_device_says_its_error_or_that_there_is_none():
    assert error_sentence("raspberry-pi-5").startswith("Median error on held-out measurements: de")
    assert error_sentence("snapdragon-8-elite").endswith(
        "None is held out: constants may be fitted to these.")
    assert error_sentence("ethos-u85").startswith("There are no published measurements")
    shown = " ".join(run("devices", "raspberry-pi-5").output.split())
    assert error_sentence("raspberry-pi-5") in shown
    device, = run_json("devices", "kv260")["devices"]
    assert device["error"].startswith("Published designs on this board: 3")


def test_a_report_says_the_error_of_its_device(tmp_path):
    report = tmp_path / "report.html"
    result = run("estimate", "smollm2-135m", "--device", "raspberry-pi-5", "--format", "q4_0", "-o",
                 report)
    known = error_sentence("raspberry-pi-5")
    assert known in " ".join(result.output.split()) and known in report.read_text()
