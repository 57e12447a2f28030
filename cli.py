"""The ``trilobite`` command: each subcommand calls one function below and prints its result."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from . import __version__
from .console import Output, reports_errors
from .errors import EstimateError, FormatError

__all__ = ["app", "main"]

app = typer.Typer(
    name="trilobite",
    help="From a real language-model checkpoint to bit-exact low-bit hardware and an estimate of "
    "what a device will do with it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="A model folder, demo-bitnet or demo-llama.")
]
Json = Annotated[
    str | None,
    typer.Option("--json", metavar="PATH", help="Also write JSON; '-' for standard output alone."),
]


KVScales = Annotated[
    Path | None, typer.Option(help="Static scales of key channels: a file of calibrate-kv.")
]
Mmap = Annotated[
    bool, typer.Option("--mmap/--no-mmap", help="Use weights where the file is mapped, uncopied.")
]


class FormatName(StrEnum):
    """Number formats that ``quantize`` writes."""

    TERNARY = "ternary"
    TERNARY_GROUP = "ternary-group"
    TERNARY_PLANES = "ternary-planes"
    HLQ2 = "hlq2"
    HLQ3 = "hlq3"
    INT2 = "int2"
    INT3 = "int3"
    INT4 = "int4"
    INT4_FP8 = "int4-fp8"
    MXFP4 = "mxfp4"
    NVFP4 = "nvfp4"
    INT8 = "int8"
    FP8 = "fp8"


class MethodName(StrEnum):
    """How ``quantize`` chooses codes."""

    RTN = "rtn"
    GPTQ = "gptq"
    AWQ = "awq"
    ITF = "itf"
    CAS = "cas"


class Layout(StrEnum):
    """How ``quantize`` stores the weights of an ONNX model."""

    QDQ = "qdq"
    MATMULNBITS = "matmulnbits"
    MATMULNBITS_FLOAT = "matmulnbits-float"


class Target(StrEnum):
    """Kinds of files that ``export`` writes."""

    GGUF = "gguf"
    HEX = "hex"
    HF = "hf"
    ONNX = "onnx"


class KV(StrEnum):
    """How keys and values are cached."""

    AUTO = "auto"
    INT8 = "int8"
    INT4 = "int4"
    FP8 = "fp8"
    FLOAT32 = "float32"


class Block(StrEnum):
    """Hardware blocks that ``verify`` checks."""

    TLMM = "tlmm"
    ALL = "all"


class Phase(StrEnum):
    """What ``verify`` counts the cycles of."""

    PREFILL = "prefill"
    DECODE = "decode"


class Vocabulary(StrEnum):
    """Formats of an embedding and a head that the accelerator takes."""

    INT8 = "int8"
    INT4 = "int4"


class Simulator(StrEnum):
    """Simulators that ``verify`` runs."""

    VERILATOR = "verilator"
    ICARUS = "icarus"


class SynthDevice(StrEnum):
    """Devices that ``synth`` knows how to synthesize for."""

    KV260 = "kv260"
    ECP5_85F = "ecp5-85f"


def _version(show: bool) -> None:
    if show:
        typer.echo(f"trilobite {__version__}")
        raise typer.Exit


def _group_size(text: str | None) -> int | str | None:
    """An integer where ``text`` is one; whether it is a group size the format decides."""
    return int(text) if text is not None and text.isdecimal() else text


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take options that stand before the command."""


@app.command(epilog="Example: trilobite quantize demo-llama -o llama-int4 --format int4")
@reports_errors
def quantize(
    checkpoint: Annotated[
        str,
        typer.Argument(
            metavar="CHECKPOINT", help="A folder, demo-bitnet or demo-llama, or any model.onnx."
        ),
    ],
    out: Annotated[
        Path, typer.Option("-o", "--output", help="The folder (of ONNX the file) to write.")
    ],
    format: Annotated[
        FormatName, typer.Option(help="Number format of the layers' weights.")
    ] = FormatName.TERNARY,
    method: Annotated[
        MethodName,
        typer.Option(
            help="rtn: each weight to its nearest; cas: columns scaled first; gptq, awq, itf: for "
            "inputs on text."
        ),
    ] = MethodName.RTN,
    calibration: Annotated[
        Path | None,
        typer.Option(help="gptq, awq, itf: UTF-8 text. The demo models have their own."),
    ] = None,
    seed: Annotated[int, typer.Option(help="gptq, awq, itf: which pieces of the text.")] = 0,
    group_size: Annotated[
        str | None,
        typer.Option(
            help="int4, int3, int2, hlq2, hlq3, ternary-group, ternary-planes, int4-fp8: 32, 64, "
            "128 (the default) or row."
        ),
    ] = None,
    symmetric: Annotated[
        bool | None,
        typer.Option(
            "--symmetric/--asymmetric", help="Codes around zero (int4) or not (int3, int2).",
            show_default=False,
        ),
    ] = None,
    packing: Annotated[str, typer.Option(help="ternary: base3 (1.6 bits) or 2bit.")] = "base3",
    granularity: Annotated[str, typer.Option(help="fp8: a scale per row or tensor.")] = "row",
    scale_rule: Annotated[
        str | None, typer.Option(help="mxfp4: floor, even (the default) or ceil.")
    ] = None,
    tensor_scale: Annotated[
        str | None, typer.Option(help="int4-fp8: largest (the default) or fireq.")
    ] = None,
    planes: Annotated[
        int | None, typer.Option(help="ternary-group: 1, or 2 for two planes of trits.")
    ] = None,
    embedding: Annotated[
        str, typer.Option(help="Embedding and head: int8 per row, or keep.")
    ] = "int8",
    tensor_format: Annotated[
        list[str] | None,
        typer.Option(
            help="RE=FORMAT[,option=value...] for the matrices whose name matches; may be repeated."
        ),
    ] = None,
    target_bpw: Annotated[
        float | None,
        typer.Option(help="Instead of --format: bits per linear weight, spent where the error is."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="A tensor that does not fit its format is an error.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a folder written before.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be written.")
    ] = False,
    layout: Annotated[
        Layout | None,
        typer.Option("--as", help="ONNX: DequantizeLinear (qdq, the default), or MatMulNBits "
                     "with int8 or float activations."),
    ] = None,
    json: Json = None,
) -> None:
    """Write a low-bit copy of a checkpoint, tensor by tensor."""
    if checkpoint.lower().endswith(".onnx"):
        from .commands.quantize_onnx import run as run_onnx

        if tensor_format or target_bpw is not None or planes is not None:
            raise FormatError(
                "--tensor-format, --target-bpw and --planes are not options for ONNX models"
            )
        run_onnx(
            Output(json), checkpoint, out, method.value, layout.value if layout else "qdq", strict,
            overwrite, dry_run, name=format.value, group_size=_group_size(group_size),
            symmetric=symmetric, packing=packing, granularity=granularity, scale_rule=scale_rule,
            tensor_scale=tensor_scale,
        )
        return
    if layout:
        raise FormatError("--as is an option for ONNX models; this is none")
    from .commands.quantize import run

    run(
        Output(json), checkpoint, out, method.value, calibration, seed, format=format.value,
        group_size=_group_size(group_size), symmetric=symmetric, packing=packing,
        granularity=granularity, scale_rule=scale_rule, tensor_scale=tensor_scale,
        embedding=embedding, tensor_formats=tensor_format or (), target_bpw=target_bpw,
        strict=strict, overwrite=overwrite, dry_run=dry_run, planes=planes,
    )


@app.command(epilog="Example: trilobite export demo-bitnet --to hf -o bitnet-packed")
@reports_errors
def export(
    model: Model,
    to: Annotated[Target, typer.Option("--to", help="Which tool's files.")],
    out: Annotated[Path, typer.Option("-o", "--output", help="The file or folder to write.")],
    type: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE",
            help="How weights are stored (gguf: tq1_0, tq2_0, q4_0, q8_0, f16; hf: bitnet, "
            "compressed, float32, bfloat16; onnx: qdq, matmulnbits, matmulnbits-float; hex: hex, "
            "bin); default: what holds the model's own codes.",
        ),
    ] = None,
    opset: Annotated[
        int | None, typer.Option(help="onnx: operator set, 21 to 26; by default 23 or 25.")
    ] = None,
    hardware: Annotated[
        str | None,
        typer.Option(help="hex: accelerator description, or a .toml file; default tlmm-kv260."),
    ] = None,
    word_bytes: Annotated[
        int | None, typer.Option(help="hex: bytes of a memory word; default 16.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what is there.")
    ] = False,
    json: Json = None,
) -> None:
    """Write a model as files that other tools read."""
    from .commands.export import run

    options = {"opset": opset, "hardware": hardware, "word_bytes": word_bytes}
    run(Output(json), model, out, to.value, type, options, overwrite)


@app.command(epilog="Example: trilobite generate demo-llama --prompt 'def add(' -n 32")
@reports_errors
def generate(
    model: Model,
    prompt: Annotated[str, typer.Option("--prompt", "-p", help="Text to continue.")],
    new_tokens: Annotated[int, typer.Option("-n", "--new-tokens", help="At most this many.")] = 64,
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = 0.0,
    top_k: Annotated[int, typer.Option(help="Keep the k most probable; 0 keeps all.")] = 0,
    top_p: Annotated[float, typer.Option(help="Keep this much probability; 1 keeps all.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Same seed, same text.")] = 0,
    kv: Annotated[KV, typer.Option(help="Format of the KV cache.")] = KV.AUTO,
    kv_scales: KVScales = None,
    mmap: Mmap = True,
    json: Json = None,
) -> None:
    """Continue a prompt, streaming the text; prints prefill and decode tokens/s."""
    from .commands.generate import run

    run(
        Output(json), model, prompt, new_tokens, temperature, top_k, top_p, seed, kv.value,
        kv_scales, mmap,
    )


@app.command(epilog="Example: trilobite bench --shape bitnet-0.73b --context 128 --threads 1,2")
@reports_errors
def bench(
    model: Annotated[
        str | None,
        typer.Argument(metavar="[MODEL]", help="A model folder, demo-bitnet or demo-llama."),
    ] = None,
    shape: Annotated[
        str | None,
        typer.Option(
            help="Random weights instead: bitnet-0.73b, bitnet-2b, llama-2-7b, or a .toml file."
        ),
    ] = None,
    format: Annotated[
        FormatName, typer.Option(help="--shape: number format of the layers' weights.")
    ] = FormatName.TERNARY,
    group_size: Annotated[
        str | None, typer.Option(help="--shape: as in quantize.")
    ] = None,
    packing: Annotated[str, typer.Option(help="--shape: as in quantize.")] = "base3",
    context: Annotated[
        str, typer.Option(help="Tokens before a decode step; several with commas; '' for none.")
    ] = "128,1024",
    prompt: Annotated[
        str, typer.Option(help="Tokens of a prefill; several with commas; '' for none.")
    ] = "128,512",
    threads: Annotated[str, typer.Option(help="Thread counts, with commas between them.")] = "1",
    steps: Annotated[int, typer.Option(help="Decode steps to take the median of.")] = 16,
    kv: Annotated[KV, typer.Option(help="Format of the KV cache.")] = KV.AUTO,
    seed: Annotated[int, typer.Option(help="--shape: same seed, same weights.")] = 0,
    mmap: Mmap = True,
    json: Json = None,
) -> None:
    """Measure decode and prefill tokens/s, and where a decode step's time goes."""
    from .commands.bench import run

    run(
        Output(json), model, shape, kv.value, seed, context, prompt, threads, steps, mmap,
        name=format.value, group_size=_group_size(group_size), packing=packing,
    )


@app.command(epilog="Example: trilobite evaluate demo-bitnet")
@reports_errors
def evaluate(
    model: Model,
    text: Annotated[
        Path | None,
        typer.Option(help="UTF-8 text file; default: the held-out modules in training.json."),
    ] = None,
    tokens: Annotated[
        int | None, typer.Option(help="Use only the first so many tokens of the text.")
    ] = None,
    kv: Annotated[KV, typer.Option(help="Format of the KV cache.")] = KV.AUTO,
    kv_scales: KVScales = None,
    mmap: Mmap = True,
    json: Json = None,
) -> None:
    """Measure perplexity in windows of 512 tokens."""
    from .commands.evaluate import run

    run(Output(json), model, text, tokens, kv.value, kv_scales, mmap)


@app.command("calibrate-kv", epilog="Example: trilobite calibrate-kv demo-llama -o keys.st")
@reports_errors
def calibrate_kv(
    model: Model,
    out: Annotated[Path, typer.Option("-o", "--output", help="The file to write.")],
    calibration: Annotated[
        Path | None, typer.Option(help="UTF-8 text. The demo models have their own.")
    ] = None,
    sequences: Annotated[int, typer.Option(help="Pieces of 512 tokens.")] = 16,
    seed: Annotated[int, typer.Option(help="Which pieces of the text.")] = 0,
) -> None:
    """Measure static scales of key channels on text, for --kv-scales."""
    from .commands.calibrate_kv import run

    run(Output(None), model, out, calibration, sequences, seed)


@app.command(epilog="Example: trilobite inspect demo-bitnet")
@reports_errors
def inspect(
    model: Model,
    every: Annotated[
        bool, typer.Option("--all", help="A line for each tensor, not one for all layers.")
    ] = False,
    json: Json = None,
) -> None:
    """Show what a checkpoint is: its shape, its tensors, their formats and sizes."""
    from .commands.inspect import run

    run(Output(json), model, every)


@app.command(epilog="Example: trilobite verify demo-bitnet --block all -p 'def add(' -n 16")
@reports_errors
def verify(
    model: Annotated[
        str | None,
        typer.Argument(metavar="[MODEL]", help="A model folder, demo-bitnet or demo-llama."),
    ] = None,
    block: Annotated[Block, typer.Option(help="The hardware block to check.")] = Block.TLMM,
    layer: Annotated[
        int, typer.Option(help="tlmm: the decoder layer whose matrices are taken.")
    ] = 0,
    prompt: Annotated[
        str, typer.Option("--prompt", "-p", help="Text that the model is given.")
    ] = "def main(arguments):",
    tokens: Annotated[
        int | None,
        typer.Option(help="How many of the prompt's tokens. tlmm: 4; all: the whole prompt."),
    ] = None,
    new_tokens: Annotated[
        int, typer.Option("-n", "--new-tokens", help="all: how many tokens to generate.")
    ] = 16,
    simulator: Annotated[
        Simulator, typer.Option(help="tlmm: which simulator runs the Verilog.")
    ] = Simulator.VERILATOR,
    stall: Annotated[
        float, typer.Option(help="tlmm: chance of a stall per stream and cycle.")
    ] = 0.3,
    seed: Annotated[int, typer.Option(help="tlmm: seed of the stalls.")] = 0,
    waves: Annotated[
        Path | None,
        typer.Option("--waves", "--dump", help="Record all signals in this .fst (or .vcd) file."),
    ] = None,
    hardware: Annotated[
        str | None,
        typer.Option(
            help="Accelerator description, or a .toml file. tlmm: tlmm-kv260; all: demo; "
            "--shape: kv260.",
        ),
    ] = None,
    shape: Annotated[
        str | None,
        typer.Option(help="Instead of a model: count the cycles of a shape, bitnet-0.73b, ..."),
    ] = None,
    phase: Annotated[Phase, typer.Option(help="--shape: prefill or decode.")] = Phase.DECODE,
    context: Annotated[
        int, typer.Option(help="--shape, decode: tokens before the one that is decoded.")
    ] = 128,
    layers: Annotated[
        int, typer.Option(help="--shape: layers to simulate; the rest is counted from them.")
    ] = 1,
    head: Annotated[
        Vocabulary, typer.Option(help="--shape: format of the embedding and the head.")
    ] = Vocabulary.INT8,
    ddr: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=CYCLES,...",
            help="--shape: timing of the memory: latency (60), refresh_interval (0: none), "
            "refresh_cycles, turnaround, words and per_cycles (1 in 1).",
        ),
    ] = None,
    schedule: Annotated[
        Path | None,
        typer.Option(help="--shape: draw what happens in a layer into this .svg file."),
    ] = None,
    json: Json = None,
) -> None:
    """Simulate the hardware on a model's weights and compare it with the runtime, bit by bit.

    tlmm: every sum of a layer's matmuls. all: the whole accelerator, prefill and decode, every
    layer's residual stream and every token. Exits with 1 if something differs.
    """
    if shape is not None:
        from .commands.verify_shape import run as run_shape

        run_shape(Output(json), shape, phase.value, 128 if tokens is None else tokens, context,
                  layers, hardware or "kv260", seed, head.value, ddr, schedule)
        return
    if model is None:
        raise typer.BadParameter("name a MODEL, or a --shape")
    if block is Block.ALL:
        from .commands.verify_decoder import run as run_decoder

        equal = run_decoder(
            Output(json), model, prompt, new_tokens, tokens, waves, hardware or "demo")
    else:
        from .commands.verify import run

        equal = run(
            Output(json), model, layer, prompt, 4 if tokens is None else tokens, simulator.value,
            stall, seed, waves, hardware or "tlmm-kv260",
        )
    if not equal:
        raise typer.Exit(1)


@app.command(epilog="Example: trilobite estimate bitnet-2b --device kv260 -o report.html")
@reports_errors
def estimate(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="Model folders, demo-bitnet, or the shapes bitnet-0.73b and bitnet-2b.",
        ),
    ],
    device: Annotated[str, typer.Option(help="Device description, or a .toml file.")] = "kv260",
    hardware: Annotated[
        str,
        typer.Option(help="Accelerator description, or a .toml file; or kv260 or demo: the "
                          "accelerator in RTL, its cycles predicted from its descriptors."),
    ] = "tlmm-kv260",
    prompt: Annotated[int, typer.Option(help="Tokens of the prompt.")] = 128,
    tokens: Annotated[int, typer.Option(help="Tokens generated after it.")] = 128,
    report: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write the report as one HTML file.")
    ] = None,
    simulate: Annotated[
        bool,
        typer.Option("--simulate", help="Measure the matmuls' cycles in RTL simulation first."),
    ] = False,
    trace: Annotated[
        Path | None,
        typer.Option(help="Write what runs when as a Chrome trace (.json, .json.gz) for Perfetto."),
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(help="Write every operator as a line of a table.")
    ] = None,
    compare: Annotated[
        Path | None, typer.Option(help="The --json of an earlier run, to compare with.")
    ] = None,
    json: Json = None,
) -> None:
    """Estimate time to first token, tokens/s and joules/token on a device."""
    from .commands.estimate import run

    run(Output(json), models, device, hardware, prompt, tokens, report, simulate, trace,
        csv, compare)


@app.command(epilog="Example: trilobite calibrate && trilobite estimate bitnet-2b --device "
                    "this-machine")
@reports_errors
def calibrate(
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The .toml file to write; else the user's own "
                                            "this-machine, which `trilobite devices` lists."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Threads of the kernels; else as many as there are.")
    ] = None,
    json: Json = None,
) -> None:
    """Measure this machine's bandwidth and kernels, and write them as a device."""
    from .commands.calibrate import run

    run(Output(json), output, threads)


@app.command("serve-sim", epilog="Example: trilobite serve-sim bitnet-0.73b --requests 20")
@reports_errors
def serve_sim(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A model folder, demo-bitnet, or a shape.")
    ],
    trace: Annotated[
        Path | None,
        typer.Option(help="Requests from a .csv or .jsonl file: arrival, prompt, output."),
    ] = None,
    requests: Annotated[int, typer.Option(help="Without --trace: how many are drawn.")] = 50,
    rate: Annotated[float, typer.Option(help="Without --trace: arrivals per second.")] = 1.0,
    prompt: Annotated[int, typer.Option(help="Without --trace: mean tokens of a prompt.")] = 128,
    output: Annotated[int, typer.Option(help="Without --trace: mean tokens generated.")] = 64,
    seed: Annotated[int, typer.Option(help="Same seed, same requests.")] = 0,
    policy: Annotated[
        list[str] | None,
        typer.Option(help="whole, chunked, layered or flow; again for more. Default: all."),
    ] = None,
    chunk: Annotated[int, typer.Option(help="chunked: tokens of a batch.")] = 128,
    groups: Annotated[int, typer.Option(help="layered: groups of layers.")] = 4,
    slack: Annotated[
        float, typer.Option(help="flow: deadline of a prompt, in times of its own prefill.")
    ] = 4.0,
    slots: Annotated[int, typer.Option(help="At most so many requests at once.")] = 8,
    device: Annotated[str, typer.Option(help="Device description, or a .toml file.")] = "kv260",
    hardware: Annotated[
        str, typer.Option(help="Accelerator description, or a .toml file.")
    ] = "tlmm-kv260",
    json: Json = None,
) -> None:
    """Serve a trace of requests: waiting times and joules/token by prefill/decode policy."""
    from .commands.serve_sim import Drawn, run

    drawn = Drawn(requests, rate, prompt, output, seed)
    run(
        Output(json), model, trace, drawn, policy, {"chunk": chunk, "groups": groups,
        "slack": slack}, slots, device, hardware,
    )


@app.command(epilog="Example: trilobite explore bitnet-0.73b --max-power 5 --max-lut-share 0.7")
@reports_errors
def explore(
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="A model folder, or demo-bitnet.")
    ] = None,
    shape: Annotated[str | None, typer.Option(help="Instead of MODEL: a bundled shape.")] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(help="Device description, or a .toml file; again for more. Default: kv260."),
    ] = None,
    hardware: Annotated[
        str, typer.Option(help="What the designs share, or a .toml file.")
    ] = "tlmm-kv260",
    format: Annotated[
        list[str] | None,
        typer.Option(help="Of the weights: ternary or int4-fp8; again for more. Default: both."),
    ] = None,
    points: Annotated[
        int | None, typer.Option(help="At least so many designs. Default: a million, or all.")
    ] = None,
    prompt: Annotated[int, typer.Option(help="Tokens of the prompt.")] = 128,
    tokens: Annotated[int, typer.Option(help="Tokens generated.")] = 128,
    max_power: Annotated[
        float, typer.Option(help="Watts, in prefill and decode.")
    ] = float("inf"),
    max_lut_share: Annotated[
        float, typer.Option(help="Part of the device's LUT, 0.7 for 70 %.")
    ] = 1.0,
    max_pause: Annotated[
        float, typer.Option(help="Seconds that a prompt may keep another request waiting.")
    ] = float("inf"),
    best: Annotated[
        str, typer.Option(help="What the answer names the best in: rate, first-token, energy, lut "
                          "or perplexity.")
    ] = "rate",
    perplexities: Annotated[
        Path | None, typer.Option(help="Of your own model, from benchmarks/explored_formats.py.")
    ] = None,
    check: Annotated[
        int, typer.Option(help="Simulate the engines of so many of the front's designs.")
    ] = 0,
    workers: Annotated[int, typer.Option(help="Processes that simulate.")] = 2,
    cluster: Annotated[
        str | None, typer.Option(help="Simulate by submitit: slurm, local or debug.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the front as an HTML page.")
    ] = None,
    top: Annotated[int, typer.Option(help="Rows of the table.")] = 10,
    json: Json = None,
) -> None:
    """Compare a million accelerators: the designs of the Pareto front, and the best in limits."""
    from .commands.explore import Checking, run
    from .sim.explore import FORMATS, Limits

    if (model is None) == (shape is None):
        raise EstimateError("give either MODEL or --shape NAME")
    run(Output(json), model or shape or "", device or ["kv260"], hardware, format or FORMATS,
        points, prompt, tokens, Limits(max_power, max_lut_share, max_pause), best, perplexities,
        Checking(check, workers, cluster), output, top)


@app.command(epilog="Example: trilobite synth --device kv260 --block 'float-*'")
@reports_errors
def synth(
    device: Annotated[
        SynthDevice, typer.Option(help="The device to synthesize for.")
    ] = SynthDevice.KV260,
    block: Annotated[
        list[str] | None,
        typer.Option(help="A block, or a pattern as 'tlmm-g*'; again for more. Default: all parts "
                     "of the accelerator."),
    ] = None,
    configuration: Annotated[
        str | None,
        typer.Option(help="How large: an accelerator's name, or a .toml file. Default: that of "
                     "the device."),
    ] = None,
    json: Json = None,
) -> None:
    """Synthesize hardware blocks: LUT, FF, DSP, memory blocks; for the ECP5 also its clock."""
    from .commands.synth import run

    run(Output(json), device.value, block or [], configuration)


@app.command(epilog="Example: trilobite devices snapdragon-8-gen-3")
@reports_errors
def devices(
    device: Annotated[
        str | None,
        typer.Argument(metavar="[DEVICE]", help="Show every constant of this one, or of a file."),
    ] = None,
    json: Json = None,
) -> None:
    """List the devices that estimates know, with the source of every constant."""
    from .commands.devices import run

    run(Output(json), device)


def main() -> None:
    """Run the command line."""
    app()
