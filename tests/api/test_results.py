"""Functions of the package give what the commands write as JSON, and print nothing."""

import dataclasses
import json
import math

import pytest

import trilobite
from support.command import run_json
from support.small_engine import write_small_engine
from trilobite.fpga.synth.flow import Synthesis
from trilobite.sim.descriptions.ddr_timing import DdrTiming
from trilobite.sim.this_machine.calibrate import KernelRate, MachineCalibration, description_text
from trilobite.sim.this_machine.calibrate_layers import (
    ATTENTION,
    ELEMENTWISE,
    PROMPT_ATTENTION,
    STEP,
    LayerRate,
)
from trilobite.sim.verify.full_size import PhaseCycles

RATE = (1e9, 2e9, 4e9)
MACHINE = MachineCalibration(
    2, 8 << 30, 0, RATE, (KernelRate("ternary", {1: RATE, 16: RATE}, 1e-5),
                          KernelRate("int8", {1: RATE}, 1e-5)),
    tuple(LayerRate(operator, precision, {1: RATE, 256: RATE}, 1e-6) for operator, precision in (
        (ATTENTION, "int8"), (PROMPT_ATTENTION, "int8"), (ELEMENTWISE, "silu"),
        (ELEMENTWISE, "relu2"), (STEP, "int8"))))


def written(result):
    """What a command writes of ``result``."""
    return json.loads(json.dumps(result.to_json(), allow_nan=False))


@pytest.fixture
def silent(capfd):
    """``silent(function, ...)``: its result; it must not have printed."""
    def call(function, *arguments, **options):
        capfd.readouterr()
        result = function(*arguments, **options)
        assert capfd.readouterr() == ("", "")
        return result

    return call


@pytest.fixture
def small_engine(tmp_path):
    return write_small_engine(tmp_path)


def test_devices(silent):
    found = silent(trilobite.devices)
    assert {"devices": [one.to_json() for one in found]} == run_json("devices")
    one, = silent(trilobite.devices, "apple-m2")
    assert one.description.kind == "soc"
    assert {"devices": [one.to_json()]} == run_json("devices", "apple-m2")
    assert 0 < one.assumed < len(one.constants)


def test_estimates_and_their_files(silent, tmp_path):
    command = ("estimate", "demo-llama", "bitnet-0.73b", "--device", "zcu104", "--tokens", "4")
    files = [option for name in ("output", "csv", "trace")
             for option in (f"--{name}", tmp_path / f"of-command.{name}")]
    printed = run_json(*command, *files, "--json", tmp_path / "earlier.json")
    found = silent(trilobite.estimate, ["demo-llama", "bitnet-0.73b"], device="zcu104", tokens=4)
    assert written(found) == printed
    assert found.warnings == ("demo-llama is not ternary; it is estimated as if it were.",)
    for name, write in (("output", found.write_report), ("csv", found.write_csv),
                        ("trace", found.write_trace)):
        silent(write, tmp_path / "file")
        assert (tmp_path / "file").read_bytes() == (tmp_path / f"of-command.{name}").read_bytes()


def test_one_model_is_enough_and_a_shape_is_one(silent):
    by_name = silent(trilobite.estimate, "bitnet-0.73b", device="zcu104", tokens=2)
    shape = by_name.results[0].model
    by_shape = silent(trilobite.estimate, shape, device="zcu104", tokens=2)
    assert by_shape.to_json() == by_name.to_json()


def test_an_accelerator_in_rtl_is_predicted(silent):
    found = silent(trilobite.estimate, "demo-bitnet", prompt=8, tokens=4)
    assert written(found) == run_json("estimate", "demo-bitnet", "--prompt", 8, "--tokens", 4)
    assert found.warnings == () and found.simulation is None


def test_a_comparison(silent, tmp_path):
    options = {"device": "zcu104", "tokens": 2}
    earlier = silent(trilobite.estimate, "bitnet-0.73b", **options)
    silent(earlier.write_json, tmp_path / "earlier.json")
    same = silent(trilobite.estimate, "bitnet-0.73b", compare=tmp_path / "earlier.json", **options)
    assert same.comparison.warnings == ()
    assert {figure["better"] for figure in same.comparison.models[0]["figures"]} == {None}
    other = silent(trilobite.estimate, "bitnet-2b", compare=tmp_path / "earlier.json", **options)
    assert other.comparison.models == ()
    assert "nothing is compared" in other.comparison.warnings[0]


def test_the_runtime_on_this_machine(silent, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(trilobite.errors.EstimateError, match="has not been measured"):
        trilobite.estimate_here("demo-bitnet")
    folder = tmp_path / "trilobite" / "devices"
    folder.mkdir(parents=True)
    (folder / "this-machine.toml").write_text(description_text(MACHINE))
    with pytest.raises(trilobite.errors.EstimateError, match="estimate_here"):
        trilobite.estimate("demo-bitnet", device="this-machine")
    found = silent(trilobite.estimate_here, ["demo-bitnet", "demo-llama"], prompt=16)
    assert written(found) == run_json("estimate", "demo-bitnet", "demo-llama", "--prompt", 16,
                                       "--device", "this-machine")
    assert found.results[0][1].rate.nominal > 0
    assert found.warnings == ("demo-llama is not ternary; it is estimated as if it were.",)


def test_a_search(silent, tmp_path):
    found = silent(trilobite.explore, "bitnet-0.73b", points=1000, max_power=8.0)
    printed = run_json("explore", "bitnet-0.73b", "--points", 1000, "--max-power", 8,
                       "-o", tmp_path / "command.html")
    assert written(found) == printed
    assert found.best.watts <= 8.0
    silent(found.write_report, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text() == (tmp_path / "command.html").read_text()


def test_requests(silent):
    requests = silent(trilobite.draw_requests, count=3, prompt=8, output=2, seed=5)
    served = silent(trilobite.serve_sim, "demo-llama", requests, policies=["chunked"], chunk=16)
    assert written(served) == run_json(
        "serve-sim", "demo-llama", "--requests", 3, "--prompt", 8, "--output", 2, "--seed", 5,
        "--policy", "chunked", "--chunk", 16)
    assert served.warnings == ("demo-llama is not ternary; it is estimated as if it were.",)


def test_synthesis(silent, monkeypatch):
    monkeypatch.setattr("trilobite.api.synth.map_block", lambda *arguments: arguments)
    monkeypatch.setattr("trilobite.api.synth.counted", lambda mapped, _: Synthesis(
        mapped[0].name, 0, dict.fromkeys(mapped[2].resources, 2.0), {}, 1.0, None))
    found = silent(trilobite.synth, "ecp5-85f", ["counters", "float-*"])
    assert written(found) == run_json("synth", "--device", "ecp5-85f", "--block", "counters",
                                       "--block", "float-*")
    assert found.total["LUT"] == 2 * len(found.blocks)


def test_an_engine(silent, ternary, small_engine):
    verified = silent(trilobite.verify_engine, ternary, layer=1, tokens=2,
                      hardware=str(small_engine))
    assert verified.equal
    assert written(verified) == run_json("verify", "engine", ternary, "--layer", 1, "--tokens", 2,
                                          "--hardware", small_engine)
    timed = silent(trilobite.time_engine, "demo-bitnet", str(small_engine))
    assert timed.report.mismatches == 0
    assert set(timed.tools) == {"amaranth", "cocotb", "verilator"}


@pytest.mark.slow
def test_a_decoder(silent):
    verified = silent(trilobite.verify_decoder, "demo-bitnet", "def f", new_tokens=2)
    assert verified.equal
    assert verified.warnings == (
        "demo-bitnet holds master weights; its ternary copy with int8 embedding is verified.",)
    printed = run_json("verify", "decoder", "demo-bitnet", "-p", "def f", "-n", 2)
    assert written(verified) | {"seconds": 0} == printed | {"seconds": 0}


@pytest.mark.slow
def test_a_shape(silent, tmp_path):
    config = trilobite.inspect("demo-bitnet").config
    fields = "".join(f"{name} = {json.dumps(value)}\n"
                     for name, value in dataclasses.asdict(config).items() if value is not None)
    count = sum(math.prod(shape) for shape in config.tensor_shapes().values())
    shape = tmp_path / "demo.toml"
    shape.write_text(f'name = "demo"\nsource = "demo-bitnet"\nparameters = {count}\n'
                     f"[config]\n{fields}")
    counted = silent(trilobite.verify_shape, str(shape), hardware="demo", samples=True)
    printed = run_json("verify", "shape", shape, "--hardware", "demo", "--schedule",
                       tmp_path / "of-command.svg")
    assert written(counted) == printed
    assert counted.goal is None and 0 < counted.read_share < counted.moved_share < 1
    silent(counted.write_schedule, tmp_path / "layer.svg")
    assert (tmp_path / "layer.svg").read_text() == (tmp_path / "of-command.svg").read_text()


@pytest.mark.parametrize(("phase", "cycles", "met"), [
    ("decode", 250e6 / 75, True), ("decode", 250e6 / 74, False),
    ("prefill", 0.2 * 250e6, True), ("prefill", 0.21 * 250e6, False),
])
def test_a_goal_is_kept_or_missed(phase, cycles, met, tmp_path):
    counts = {"cycles": cycles, "read_words": cycles / 2, "write_words": cycles / 4}
    counted = trilobite.CountedShape(
        "bitnet-0.73b", "kv260", "int8", DdrTiming(), 64,
        PhaseCycles(phase, 128, 128, 24, 24, counts, dict.fromkeys(counts, 0)))
    assert counted.goal == (75 if phase == "decode" else 0.2) and counted.goal_met is met
    assert (counted.read_share, counted.moved_share) == (0.5, 0.75)
    assert counted.bytes_per_second == pytest.approx(0.75 * 64 * 250e6)
    with pytest.raises(trilobite.TrilobiteError, match="samples=True"):
        counted.write_schedule(tmp_path / "layer.svg")
    assert list(tmp_path.iterdir()) == []
