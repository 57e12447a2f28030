import dataclasses
import json

import numpy as np
import pytest

from support.tlmm import PARAMETERS, random_matrix
from support.watch import Watch
from trilobite.errors import ToolError, TrilobiteError
from trilobite.hw import cycles
from trilobite.hw.matmul.reference import matmul
from trilobite.sim.verify.engine import EngineProblem, Mismatch, verify_tlmm

ENGINE = PARAMETERS["g3"]


def make(name, M, K, N, seed=0):
    trits, activations = random_matrix(np.random.default_rng(seed), M, K, N)
    return EngineProblem(name, trits, activations, matmul(trits, activations))


@pytest.fixture(scope="module")
def report():
    return verify_tlmm([make("tall", 100, 16, 2), make("wide", 7, 80, 1)], ENGINE)


def test_right_sums_verify(report):
    assert report.mismatches == 0
    assert [row.first_mismatch for row in report.rows] == [None, None]


def test_cycles_are_measured_without_stalls(report):
    assert [row.cycles for row in report.rows] == [
        cycles(ENGINE, K=16, M=100, N=2), cycles(ENGINE, K=80, M=7)]
    assert report.cycles == sum(row.predicted_cycles for row in report.rows)
    assert all(row.stalled_cycles > row.cycles for row in report.rows)
    assert report.measured_cycles() == {(7, 80): report.rows[1].cycles}


def test_json_has_the_documented_keys(report):
    values = json.loads(json.dumps(report.to_json()))
    assert set(values) == {
        "mismatches", "cycles", "simulator", "stall", "seed", "parameters", "rows"}
    assert values["parameters"] == dataclasses.asdict(ENGINE)
    assert values["rows"][1] == {
        "name": "wide", "M": 7, "K": 80, "N": 1, "cycles": report.rows[1].cycles,
        "stalled_cycles": report.rows[1].stalled_cycles,
        "predicted_cycles": report.rows[1].cycles, "mismatches": 0, "first_mismatch": None}


def test_a_wrong_sum_is_counted_in_both_runs_and_the_first_is_named():
    matrix = make("q_proj", 20, 30, 4)
    expected = matrix.expected.copy()
    right = int(expected[2, 13])
    expected[2, 13] += 1
    expected[3, 1] -= 5
    report = verify_tlmm([make("k_proj", 3, 30, 1), dataclasses.replace(matrix, expected=expected)],
                         ENGINE)
    assert [row.mismatches for row in report.rows] == [0, 4]
    assert report.rows[1].first_mismatch == Mismatch(token=2, row=13, expected=right + 1, got=right)
    assert report.to_json()["rows"][1]["first_mismatch"] == {
        "token": 2, "row": 13, "expected": right + 1, "got": right}


def test_progress_names_the_matrix_and_counts_to_the_end():
    watch = Watch()
    verify_tlmm([make("a", 3, 3, 1), make("b", 3, 3, 1)], ENGINE, progress=watch)
    assert watch.steps == ["Building the engine for verilator", "Simulating a", "Simulating b",
                           "Simulating b"]
    assert watch.done == watch.total == 4


@pytest.mark.icarus
def test_simulators_agree_cycle_for_cycle():
    matrices = [make("a", 9, 31, 2)]
    reports = [verify_tlmm(matrices, ENGINE, simulator) for simulator in ("verilator", "icarus")]
    assert reports[0].rows == reports[1].rows


@pytest.mark.parametrize("simulator", [
    pytest.param("icarus", marks=pytest.mark.icarus),
    pytest.param("verilator", marks=pytest.mark.lz4),
])
def test_waves_go_to_the_file_that_was_named(tmp_path, simulator):
    waves = tmp_path / "out.fst"
    verify_tlmm([make("a", 3, 3, 1)], ENGINE, simulator, waves=waves)
    assert waves.stat().st_size > 1000


def test_waves_of_an_unknown_kind_are_refused(tmp_path):
    with pytest.raises(ToolError, match=r"verilator cannot write '.png' waves"):
        verify_tlmm([make("a", 3, 3, 1)], ENGINE, waves=tmp_path / "out.png")


@pytest.mark.parametrize(("change", "sentence"), [
    ({"activations": np.zeros((2, 9), np.int8)}, r"Matrix x is \[4, 10\]; its activations must be"),
    ({"activations": np.zeros((0, 10), np.int8)}, "for one N of at least 1"),
    ({"expected": np.zeros((2, 5), np.int32)}, r"not \[2, 10\] and \[2, 5\]"),
    ({"trits": np.full((4, 10), 2, np.int8)}, "holds weights other than -1, 0 and 1"),
    ({"activations": np.full((2, 10), 128, np.int16)}, "activations outside of 8 signed bits"),
])
def test_a_matrix_that_contradicts_itself_is_refused(change, sentence):
    matrix = dataclasses.replace(make("x", 4, 10, 2), **change)
    with pytest.raises(TrilobiteError, match=sentence):
        verify_tlmm([matrix], ENGINE)


@pytest.mark.parametrize(("M", "K", "sentence"), [
    (4, 81, "has K = 81, and the engine is made for at most max_k = 80"),
    (101, 4, "has M = 101, and the engine is made for at most max_m = 100"),
])
def test_a_matrix_larger_than_the_engine_is_refused(M, K, sentence):
    with pytest.raises(TrilobiteError, match=sentence):
        verify_tlmm([make("x", M, K, 1)], ENGINE)


def test_nothing_to_verify_is_refused():
    with pytest.raises(TrilobiteError, match="There is no matrix to verify"):
        verify_tlmm([], ENGINE)
