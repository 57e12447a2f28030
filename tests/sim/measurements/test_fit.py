"""What engines reach is fitted to rows that are not held out, and to nothing else."""

import dataclasses
import math
import tomllib

import pytest

from trilobite.sim.measurements.errors import compare_all, sources_apart
from trilobite.sim.measurements.fit import case_of, fit, fitted_cases, left_out_errors
from trilobite.sim.measurements.rows import measurements
from trilobite.sim.processors.engines import engine_called
from trilobite.sim.processors.shares import fitted_file


def test_no_held_out_and_no_second_hand_row_is_fitted_to():
    rows = [case.row for case in fitted_cases()]
    assert len(rows) > 80
    assert not any(row.is_held_out or row.second_hand for row in rows)
    assert all(engine_called(row.engine) for row in rows)


def test_the_file_is_what_the_fit_finds():
    """``python -m trilobite.sim.measurements fit`` writes it."""
    written, found = tomllib.loads(fitted_file().read_text("utf-8")), fit(fitted_cases())
    for part, effects in found.effects.items():
        said = {(which, what): value for which, some in written[part].items()
                for what, value in some.items()}
        assert said.keys() == effects.keys()
        assert all(said[effect] == pytest.approx(value, abs=2e-3)
                   for effect, value in effects.items())
    assert written["seen"] == {device: sorted(names) for device, names in found.seen.items()}


def test_one_measurement_moves_what_is_estimated_towards_it():
    case = case_of(next(row for row in measurements() if row.phase == "decode"))
    slow = dataclasses.replace(case, seconds=2 * case.seconds)
    assert fit([slow]).seconds(case) > fit([case]).seconds(case)
    assert fit([slow]).seconds(case) < slow.seconds   # a prior holds it back


def test_what_is_left_out_is_not_known():
    cases = [case for case in fitted_cases() if case.kind == "npu"]
    errors = left_out_errors(cases, lambda case: case.row.device)
    assert len(errors) == len(cases)
    assert {known for _, known, _ in errors} == {"none"}
    rest = fit([case for case in cases if case.row.device != cases[0].row.device])
    case, _, error = next(one for one in errors if one[0] is cases[0])
    assert error == pytest.approx(math.log(rest.seconds(case) / case.seconds))


def test_ranges_hold_nine_of_ten_rows_that_no_range_was_set_on():
    held = [one for one in compare_all() if one.measured.is_held_out
            and one.measured.phase in ("decode", "prefill", "first-token")]
    assert sum(one.is_inside for one in held) >= 0.9 * len(held)


def test_published_values_of_the_same_thing_lie_apart():
    found = {(one.device, one.phase): one for one in sources_apart()}
    assert found["raspberry-pi-4", "decode"].worst == pytest.approx(0, abs=1e-9)
    orin = found["jetson-orin-nano", "decode"]   # 32.1 and 11.3 tokens/s of one source
    assert orin.worst == pytest.approx(math.sqrt(32.1 / 11.3) - 1)
