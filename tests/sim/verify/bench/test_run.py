import os

import numpy as np
import pytest

from support.probes import Register
from support.registered import assert_outputs_are_registered
from support.watch import Watch
from trilobite.errors import ToolError
from trilobite.sim.verify.bench import Traffic, build, exchange, run_tests

BEATS = np.arange(60, dtype=np.uint8)[:, None]


@pytest.fixture(params=["verilator", pytest.param("icarus", marks=pytest.mark.icarus)])
def simulator(request):
    return request.param


@pytest.fixture
def register(simulator):
    return build(Register(), "register", simulator)


def test_a_passing_test_passes_and_leaves_no_file(register, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_tests(register, "support.probes", ["passes"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("tests", "reason"), [
    (["fails"], "failed in fails: seven is not eight"),
    (["passes", "fails"], "failed in fails"),
    (["dies"], "ended before it had reported"),
    (["passes", "absent"], r"ran \['passes'\], and not \['absent', 'passes'\]"),
    (["absent"], r"ended before it had reported|ran \[\], and not \['absent'\]"),
])
def test_anything_but_a_pass_of_all_tests_is_an_error(register, tests, reason):
    with pytest.raises(ToolError, match=reason):
        run_tests(register, "support.probes", tests)


def test_a_module_that_is_not_there_is_an_error(register):
    with pytest.raises(ToolError, match="ended before it had reported|ran"):
        run_tests(register, "support.no_such_module", ["passes"])


def test_waves_need_a_build_for_them(register, tmp_path):
    with pytest.raises(ToolError, match=r"writes None waves, not waves.fst"):
        run_tests(register, "support.probes", ["passes"], waves=tmp_path / "waves.fst")


def test_waves_are_written_where_they_are_asked_for(simulator, tmp_path):
    suffix, magic = {"verilator": (".vcd", b"$version"), "icarus": (".fst", b"\x00")}[simulator]
    waves = tmp_path / f"waves{suffix}"
    built = build(Register(), "register", simulator, suffix)
    exchange(built, [Traffic({"i": BEATS}, {"o": 60})], waves)
    assert waves.read_bytes().startswith(magic)
    waves.unlink()
    with pytest.raises(ToolError, match="seven is not eight"):   # when they are needed most
        run_tests(built, "support.probes", ["fails"], waves=waves)
    assert waves.read_bytes().startswith(magic)
    assert list(tmp_path.iterdir()) == [waves]


def test_beats_come_back_in_order(register):
    stalls = (0.0, 0.4, {"i": 0.8}, {"o": 0.8})
    runs = [Traffic({"i": BEATS}, {"o": 60}, stall=stall) for stall in stalls]
    for run, stall in zip(exchange(register, runs), stalls, strict=True):
        np.testing.assert_array_equal(run.outputs["o"], BEATS)
        assert run.cycles == 61 if stall == 0.0 else run.cycles > 61


def test_runs_are_reproducible_and_depend_on_their_seed(register):
    runs = [Traffic({"i": BEATS}, {"o": 60}, stall=0.5, seed=seed) for seed in (1, 2, 1)]
    first, other, again = (run.cycles for run in exchange(register, runs))
    assert first == again != other


def test_beats_are_repeated_as_asked(register):
    run = exchange(register, [Traffic({"i": BEATS[:3]}, {"o": 6}, repeats={"i": 2})])[0]
    assert run.outputs["o"][:, 0].tolist() == [0, 1, 2, 0, 1, 2]


def test_a_reset_ends_a_run(register):
    runs = [Traffic({"i": BEATS}, {"o": 60}, reset_after=11), Traffic({"i": BEATS}, {"o": 60})]
    cut, whole = exchange(register, runs)
    np.testing.assert_array_equal(cut.outputs["o"], BEATS[:len(cut.outputs["o"])])
    assert 0 < len(cut.outputs["o"]) < 12
    np.testing.assert_array_equal(whole.outputs["o"], BEATS)


def test_progress_counts_the_runs(register):
    watch = Watch()
    exchange(register, [Traffic({"i": BEATS}, {"o": 60})] * 3, progress=watch)
    assert watch.done == 3


@pytest.mark.parametrize(("fault", "reason"), [
    ("payload", r"o offered 0x\w+, was not taken, and went on to 0x"),
    ("valid", r"o offered 0x\w+, was not taken, and went on to nothing"),
    ("lost", r"nothing moved for 20000 cycles \(i took 60, o gave \d+ beats\)"),
    ("repeated", "o gave more than the expected 60 beats"),
])
def test_a_component_that_breaks_the_rules_is_found_out(simulator, fault, reason):
    faulty = build(Register(fault), "register", simulator)
    with pytest.raises(ToolError, match=reason):
        exchange(faulty, [Traffic({"i": BEATS}, {"o": 60}, stall=0.5)])


def test_the_callers_cocotb_settings_do_not_leak_in(register, monkeypatch):
    monkeypatch.setenv("COCOTB_TEST_FILTER", "nothing")
    monkeypatch.setenv("COCOTB_TOPLEVEL", "elsewhere")
    run_tests(register, "support.probes", ["passes"])
    assert os.environ["COCOTB_TOPLEVEL"] == "elsewhere"


def test_a_path_from_an_input_to_an_output_is_found():
    """``i.ready`` of the register follows ``o.ready`` within the cycle."""
    with pytest.raises(ToolError, match="failed in outputs_ignore_inputs.*i__ready"):
        assert_outputs_are_registered(build(Register(), "register"))
