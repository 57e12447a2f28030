"""Commands about a checkpoint: quantize, export, run, measure and describe it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import FormatError
from .app import app
from .console import Output, reports_errors
from .options import KV, FormatName, Json, KVScales, Layout, MethodName, Mmap, Model, Target

__all__ = ["bench", "calibrate_kv", "evaluate", "export", "generate", "inspect", "quantize"]


def _group_size(text: str | None) -> int | str | None:
    """An integer where ``text`` is one; whether it is a group size the format decides."""
    return int(text) if text is not None and text.isdecimal() else text


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
        from ..commands.quantize_onnx import run as run_onnx

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
    from ..commands.quantize import run

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
    from ..commands.export import run

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
    from ..commands.generate import run

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
    from ..commands.bench import run

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
    from ..commands.evaluate import run

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
    from ..commands.calibrate_kv import run

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
    from ..commands.inspect import run

    run(Output(json), model, every)
