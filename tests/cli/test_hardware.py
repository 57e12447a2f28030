"""``--hardware``: one description of an accelerator, whatever the command."""

import pytest

from support.command import refuses, run, run_json
from trilobite.sim.descriptions.tables import bundled_folder

DEMO = (bundled_folder("accelerators") / "demo.toml").read_text()


@pytest.mark.parametrize("command", [
    ("estimate", "demo-bitnet"), ("explore", "demo-bitnet"), ("serve-sim", "demo-bitnet"),
    ("verify", "engine", "demo-bitnet"), ("verify", "decoder", "demo-bitnet"),
    ("verify", "shape", "bitnet-0.73b"), ("synth", "--block", "float-add"),
])
def test_every_command_reads_an_accelerator_through_one_door(command, tmp_path):
    file = tmp_path / "broken.toml"
    for before, after, said in (
            ("max_tokens = 64", "max_tokens = 64.5",
             "broken.toml: accelerator: max_tokens: must be a whole number, not 64.5"),
            ("group_size = 3", "group_size = 9", "group_size must be 2 to 5, not 9")):
        file.write_text(DEMO.replace(before, after))
        assert refuses(run(*command, "--hardware", file), said)


def test_what_synth_takes_is_estimated_too(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(DEMO.replace("Accelerator demo", "Mine").replace("lanes = 4", "lanes = 2"))
    value, = run_json("estimate", "demo-bitnet", "--prompt", "8", "--tokens", "4", "--hardware",
                      file)["estimates"]
    assert value["hardware"]["name"] == "Mine"
    assert value["hardware"]["vector"]["lanes"]["nominal"] == 2
    assert value["decode"]["obtained"] == {"model": pytest.approx(1)}


def test_formulas_take_an_accelerator_in_rtl():
    value = run_json("serve-sim", "demo-bitnet", "--requests", "2", "--hardware", "kv260")
    assert value["hardware"] == "Accelerator kv260"


@pytest.mark.parametrize("command", [
    ("verify", "decoder", "demo-bitnet"), ("verify", "shape", "bitnet-0.73b"),
    ("synth", "--block", "float-add"),
])
def test_an_engine_alone_is_no_whole_accelerator(command):
    assert refuses(run(*command, "--hardware", "tlmm-kv260"), "no whole accelerator")
