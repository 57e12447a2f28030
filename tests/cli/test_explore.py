import pytest

from support.command import refuses, run, run_json
from support.small_engine import DESCRIPTIONS
from trilobite.api.explore import Exploration
from trilobite.api.explore_checks import Checking, check_designs, first_of_each_engine
from trilobite.cli.console import Output
from trilobite.cli.explore import _print_checks
from trilobite.npu import ArrayParameters, Stationary
from trilobite.sim.descriptions.accelerator import load_accelerator
from trilobite.sim.descriptions.device import load_device
from trilobite.sim.descriptions.shapes import load_shape
from trilobite.sim.explore import Perplexities
from trilobite.sim.explore.accelerators import Counted
from trilobite.sim.explore.check import Checked
from trilobite.sim.explore.search import Found, Result
from trilobite.sim.explore.space import Design

ENGINE = load_accelerator("kv260").engine
ARRAY = ArrayParameters(Stationary.WEIGHT, rows=8, lanes=4, tokens=64)


def design(engine, mhz=250.0):
    of = Design("KV260", "ternary", {}, lanes=4, queries=4, mhz=mhz, urams=36, policy="whole",
                kv_bits=8)
    return Found(of, engine, 21.0, 0.2, 80.0, 0.1, 1e5, 0.8, 500, 7.0, 0.3)


def test_the_first_design_of_each_engine_is_predicted_and_simulated(monkeypatch, capsys):
    one, array = design(ENGINE), design(ARRAY)
    result = Result((one, design(ENGINE, mhz=100.0), array), {}, 0.1, 1.0, 0.1)
    assert first_of_each_engine(result, 5) == [one, array]
    assert first_of_each_engine(result, 0) == []
    monkeypatch.setattr("trilobite.sim.explore.check.check_engines", lambda engines, *_: [
        Checked(((8, 8, 1),), (100,), (101,), 0) for _ in engines])
    monkeypatch.setattr("trilobite.sim.explore.tasks.run_tasks", lambda work, items, *_: [
        Counted((1000,), (1001,)) for _ in items])
    found = Exploration(
        "bitnet-0.73b", load_shape("bitnet-0.73b"), (load_device("kv260"),), "", 3, 4, result,
        Perplexities("demo-bitnet", 1, {}), {}, "", "rate", ())
    checked = check_designs(found, Checking(5, accelerators=True))
    assert capsys.readouterr() == ("", "")
    rows = checked.to_json()["whole"]
    assert rows[0]["rtl"]["worst_error"] == pytest.approx(0.001)
    assert rows[1]["rtl"] is None and "no accelerator" in rows[1]["reason"]
    assert [row["worst_error"] for row in checked.to_json()["checked"]] == pytest.approx(
        [0.01, 0.01])
    assert check_designs(found, Checking(0)) == found
    _print_checks(Output(None), checked.checks)
    printed = capsys.readouterr().out
    assert "0.10% off" in printed and "Whole accelerators by the cycle model" in printed
    assert "1.00%" in printed and "RTL simulation" in printed


def test_a_front_is_printed_and_written(tmp_path):
    page = tmp_path / "front.html"
    value = run_json("explore", "bitnet-0.73b", "--points", "1000", "-o", page)
    assert value["best_in"] == "rate" and value["answer"] in page.read_text()
    assert value["checked"] == value["whole"] == []
    board = tmp_path / "board.toml"
    kv260 = (DESCRIPTIONS / "devices" / "kv260.toml").read_text()
    board.write_text(kv260.replace('name = "KV260"', 'name = "My board"', 1))
    other = run("explore", "--shape", "bitnet-0.73b", "--points", "1000", "--top", "1",
                "--device", board)
    said = " ".join(other.stdout.split())
    assert "LUT are counted as on KV260 and ZCU104; those of My board may be others." in said
    assert "within the power" in said and "largest error of the fit" in said


@pytest.mark.parametrize(("arguments", "said"), [
    ([], "either MODEL or --shape"),
    (["demo-bitnet", "--shape", "bitnet-2b"], "either MODEL or --shape"),
    (["demo-bitnet", "--top", "0"], "--top must be above 0"),
    (["demo-bitnet", "--check", "-1"], "--check must not be negative"),
    (["demo-bitnet", "--max-power", "0"], "--max-power must be above 0"),
    (["demo-bitnet", "--best", "colour"], "--best must be one of rate"),
    (["no-such-model"], "no-such-model"),
])
def test_bad_input_is_one_sentence(arguments, said):
    assert refuses(run("explore", *arguments), said)
