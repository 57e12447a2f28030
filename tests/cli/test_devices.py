import pytest

from support.command import refuses, run, run_json


def test_every_device_is_listed_and_each_constant_shown():
    listed = run("devices").stdout
    value = run_json("devices")
    assert len(value["devices"]) == 23
    for device in value["devices"]:
        assert device["device"] in listed
    shown = " ".join(run("devices", "snapdragon-8-gen-3").stdout.split())
    assert "processors[2].bandwidth" in shown
    assert "NPU alone 56" in shown


@pytest.mark.parametrize("arguments", [
    ("devices", "zx81"), ("estimate", "demo-bitnet", "--device", "zx81"),
    ("serve-sim", "demo-bitnet", "--device", "zx81"),
    ("explore", "demo-bitnet", "--device", "zx81"),
])
def test_an_unknown_device_is_refused_with_the_known_ones(arguments, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    own = tmp_path / "trilobite" / "devices" / "my-board.toml"
    own.parent.mkdir(parents=True)
    own.touch()
    said = run(*arguments)
    assert refuses(said, "'zx81'")
    assert "kv260" in said.stderr and "my-board" in said.stderr
