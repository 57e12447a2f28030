import pytest

import trilobite
from support.command import refuses, run
from trilobite.sim.descriptions.soc import load_soc
from trilobite.sim.this_machine.calibrate import FORMATS, KernelRate, MachineCalibration
from trilobite.sim.this_machine.calibrate_layers import ATTENTION, ELEMENTWISE, LayerRate

MEASURED = MachineCalibration(
    2, 8 << 30, 0, (5e9, 6e9, 8e9),
    tuple(KernelRate(name, {1: (1e9, 2e9, 4e9), 16: (8e9, 8e9, 1.6e10)}, 1e-5)
          for name in FORMATS),
    (LayerRate(ATTENTION, "int8", {16: (1e9, 1e9, 1e9), 256: (4e9, 4e9, 4e9)}, 2e-6),
     LayerRate(ELEMENTWISE, "silu", {1: (5e8, 5e8, 5e8)}, 4e-6)),
)


@pytest.fixture(autouse=True)
def measured(monkeypatch):
    monkeypatch.setattr("trilobite.api.calibrate.measure", lambda progress: MEASURED)


def test_layers_are_printed_and_what_is_read_is_written(tmp_path):
    path = tmp_path / "box.toml"
    printed = run("calibrate", "-o", path).stdout
    assert "16 tokens" in printed
    for layer in MEASURED.layers:
        assert f"{layer.operator}, {layer.precision}" in printed
    rate = load_soc(str(path)).processor("CPU").rate(ATTENTION, "int8")
    assert rate.start.nominal == pytest.approx(2)
    assert rate.peak.nominal * rate.efficiency(16) == pytest.approx(1e-3)


def test_the_interface_gives_what_is_printed_and_prints_nothing(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    machine = trilobite.calibrate()
    assert machine.measured == MEASURED
    assert machine.path == tmp_path / "trilobite" / "devices" / "this-machine.toml"
    assert machine.to_json()["device"] == str(machine.path)
    assert capfd.readouterr() == ("", "")
    assert [device.key for device in trilobite.devices()][-1] == "this-machine"


@pytest.mark.parametrize(("arguments", "said"), [
    (["-o", "box.json"], "a device description is a .toml file"),
    (["--threads", "0"], "0 threads are asked for"),
    (["--threads", "999"], "999 threads"),
])
def test_bad_input_is_one_sentence(arguments, said, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert refuses(run("calibrate", *arguments), said)
