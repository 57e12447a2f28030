import json
from pathlib import Path

import pytest

import trilobite
from support.command import refuses, run, run_json
from support.small_engine import write_small_engine

WIDE = (
    'name = "Wide"\nsource = "a test"\nparameters = 442523648\n[config]\nfamily = "llama"\n'
    "hidden_size = 8192\nintermediate_size = 6912\nnum_layers = 1\nnum_heads = 64\n"
    "num_kv_heads = 64\nhead_dim = 128\nvocab_size = 512\nmax_position_embeddings = 512\n"
    "rms_norm_eps = 1e-5\nrope_theta = 1e4\ntie_word_embeddings = true\n")


def test_one_report_for_several_models(ternary, tmp_path):
    report = tmp_path / "report.html"
    value = run_json("estimate", ternary, "bitnet-0.73b", "bitnet-2b", "-o", report)
    assert len(value["estimates"]) == 3
    page = report.read_text()
    for name in ("bitnet", "BitNet 0.73B", "BitNet 2B-4T"):
        assert name in page


def test_a_model_that_the_accelerator_cannot_run_is_estimated_by_formulas(tmp_path):
    """Its hidden size is more than the accelerator is built for; the warning says so."""
    shape = tmp_path / "wide.toml"
    shape.write_text(WIDE)
    value = run_json("estimate", shape)
    assert value["estimates"][0]["hardware"]["name"] == "TLMM for KV260"
    said = " ".join(run("estimate", shape).output.split())
    assert "By the formulas of tlmm-kv260" in said and "hidden_size is 8192" in said
    assert refuses(run("estimate", shape, "--hardware", "kv260"), "hidden_size is 8192")


def test_a_model_that_neither_can_run_is_refused_for_both_reasons():
    result = run("estimate", "llama-2-7b")
    assert refuses(result, "not by the cycle model. The accelerator cannot run this model: "
                   "intermediate_size is 11008, and at most 6912 fit. A matrix of 11008 outputs")


def test_a_checkpoint_is_estimated_with_the_codes_that_it_has(tmp_path):
    out = tmp_path / "four"
    made = run("quantize", "demo-bitnet", "-o", out, "--tensor-format",
               "embed_tokens=int4,group_size=row")
    assert made.exit_code == 0, made.output
    weights = [run_json("estimate", model, "--prompt", "2", "--tokens", "2")["estimates"][0][
        "weight_bytes"] for model in ("demo-bitnet", out)]
    config = trilobite.load("demo-bitnet").decoder.config
    assert weights[0] - weights[1] == config.vocab_size * config.hidden_size // 2


def test_an_analysed_clock_is_said_with_its_range(tmp_path):
    command = ("estimate", "demo-bitnet", "--prompt", "2", "--tokens", "2", "-o",
               tmp_path / "page.html")
    assert "Clock:" not in run(*command, "--hardware", "tlmm-kv260").stdout
    text = (Path(trilobite.__file__).parent / "fpga/configurations/kv260.toml").read_text()
    line, = (line for line in text.splitlines() if line.startswith("frequency ="))
    mine = tmp_path / "mine.toml"
    mine.write_text(text.replace(
        line, 'frequency = { low = 87, nominal = 124, high = 150, unit = "MHz", '
              'kind = "analysed", source = "trilobite synth --timing" }'))
    said = run(*command, "--hardware", mine).stdout
    assert "Clock: analysed, nominal 124 MHz, range 87 to 150 MHz." in said
    assert 'class="tag analysed"' in (tmp_path / "page.html").read_text()


def test_a_device_with_an_accelerator_in_rtl_has_its_cycles_predicted():
    value, = run_json("estimate", "demo-bitnet", "--prompt", "8", "--tokens", "4")["estimates"]
    assert value["hardware"]["name"] == "Accelerator kv260"
    assert value["decode"]["obtained"] == {"model": pytest.approx(1)}
    other, = run_json("estimate", "demo-bitnet", "--device", "zcu104")["estimates"]
    assert other["hardware"]["name"] == "TLMM for KV260"


def test_cycles_can_be_simulated_first(ternary, tmp_path):
    small = write_small_engine(tmp_path)
    value = run_json("estimate", ternary, "--hardware", small, "--simulate")
    assert "equal to RTL simulation" in json.dumps(value)
    assert value["tools"]["verilator"]


def test_a_trace_of_both_phases(tmp_path):
    trace = tmp_path / "trace.json"
    value = run_json("estimate", "bitnet-0.73b", "--trace", trace)["estimates"][0]
    events = json.loads(trace.read_text())["traceEvents"]
    processes = [event["args"]["name"] for event in events if event["name"] == "process_name"]
    assert processes == ["BitNet 0.73B, prefill", "BitNet 0.73B, decode"]
    for process, phase in enumerate(("prefill", "decode"), start=1):
        ends = [event["ts"] + event["dur"] for event in events
                if event["ph"] == "X" and event["pid"] == process]
        assert max(ends) / 1e6 == pytest.approx(value[phase]["time"]["nominal"])


def test_an_earlier_run_is_compared_with_and_one_of_other_models_says_so(tmp_path):
    earlier = tmp_path / "earlier.json"
    run("estimate", "demo-bitnet", "--device", "zcu104", "--json", earlier)
    again = run("estimate", "demo-bitnet", "--device", "zcu104", "--compare", earlier)
    assert "+0.0 %" in again.stdout
    other = run("estimate", "bitnet-0.73b", "--device", "zcu104", "--compare", earlier)
    assert "has none of these models: nothing is compared" in " ".join(other.stdout.split())


@pytest.mark.parametrize(("arguments", "said"), [
    (["--device", "no-such-board"], "no-such-board"),
    (["--prompt", "0"], "prompt"),
    (["--hardware", "kv260", "--simulate"], "--simulate is for"),
    (["-o", "{tmp}/none/report.html"], "none"),
    (["--device", "apple-m2", "--hardware", "kv260"], "--hardware: has no effect on Apple M2"),
    (["--device", "ecp5-85f"], "40 URAM; ECP5-85F has 0"),
    (["--trace", "{tmp}/none/t.json"], "none/t.json cannot be"),
    (["--device", "this-machine", "-o", "{tmp}/r.html", "--simulate"], "--output, --simulate:"),
])
def test_bad_input_is_one_sentence(tmp_path, arguments, said):
    result = run("estimate", "demo-bitnet", *(one.format(tmp=tmp_path) for one in arguments))
    assert refuses(result, said)
    assert list(tmp_path.iterdir()) == []


def test_a_processor_of_a_soc_is_estimated_with_everything_that_is_written(tmp_path):
    """The same keys, report, table and trace as on a board."""
    report, table, trace = (tmp_path / name for name in ("r.html", "t.csv", "t.json"))
    value, = run_json("estimate", "qwen3-1.7b", "--device", "raspberry-pi-5", "--format", "Q4_K_M",
                      "-o", report, "--csv", table, "--trace", trace)["estimates"]
    assert {"first_token", "rate", "per_token", "decode_energy", "request_energy", "power",
            "prefill", "decode", "context", "device", "hardware"} <= set(value)
    assert value["hardware"]["format"] == "q4_k_m" and value["hardware"]["kind"] == "cpu"
    assert value["weight_bytes"] < value["memory"]["needed"] < value["memory"]["capacity"]
    page = report.read_text()
    assert "Qwen3 1.7B on Raspberry Pi 5" in page and "CPU, q4_k_m" in page
    assert "head" in table.read_text() and json.loads(trace.read_text())["traceEvents"]


def test_a_processor_is_chosen_by_its_kind():
    names = [run_json("estimate", "smollm2-135m", "--device", "apple-m2", "--format", "q4_0",
                      *more)["estimates"][0]["hardware"]["processor"]
             for more in ((), ("--processor", "gpu"))]
    assert names == ["CPU", "GPU"]


def test_what_a_description_lacks_is_said():
    result = run("estimate", "smollm2-135m", "--device", "raspberry-pi-5", "--format", "f16")
    assert "no rate in float16, which is taken at half of the rate of int8" in " ".join(
        result.output.split())


@pytest.mark.parametrize(("options", "message"), [
    (("--device", "raspberry-pi-5"), "Nothing says in which format SmolLM2 135M is stored; give "
                                     "--format, one of f32, f16"),
    (("--device", "raspberry-pi-5", "--format", "q9"), "There is no stored format 'q9'"),
    (("--device", "raspberry-pi-5", "--format", "q4_0", "--hardware", "kv260"),
     "--hardware: has no effect on Raspberry Pi 5"),
    (("--device", "raspberry-pi-5", "--format", "q4_0", "--simulate"),
     "--simulate: has no effect on Raspberry Pi 5"),
    (("--device", "raspberry-pi-5", "--format", "q4_0", "--processor", "npu"),
     "Raspberry Pi 5 has no npu that is described; it has cpu"),
    (("--device", "kv260", "--format", "q4_0"), "--format: has no effect on KV260"),
    (("--device", "kv260", "--processor", "cpu"), "--processor: has no effect on KV260"),
])
def test_an_option_without_effect_is_an_error(options, message):
    assert refuses(run("estimate", "smollm2-135m", *options), message)


def test_a_shape_that_is_not_ternary_is_said_to_be_estimated_so():
    said = " ".join(run("estimate", "smollm2-135m", "--prompt", "4", "--tokens", "2",
                        "--device", "zcu104").output.split())
    assert "smollm2-135m is not ternary; it is estimated as if it were." in said


def test_two_runs_on_a_soc_are_compared(tmp_path):
    before = tmp_path / "before.json"
    options = ("estimate", "smollm2-135m", "--device", "raspberry-pi-5", "--format")
    before.write_text(json.dumps(run_json(*options, "q8_0")))
    compared, = run_json(*options, "q4_0", "--compare", before)["compared"]
    rate = next(one for one in compared["figures"] if one["name"] == "decode rate")
    assert rate["ratio"] > 1 and rate["better"]
