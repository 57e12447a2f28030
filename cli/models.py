"""Commands about a checkpoint: export, run, measure and describe it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .app import app
from .choices import FORMAT_OPTIONS, command_class, formats_table
from .console import Output, reports_errors
from .options import KV, Json, KVScales, Mmap, Model, Target

__all__ = ["bench", "calibrate_kv", "evaluate", "export", "generate", "inspect"]


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
        typer.Option(help="hex: an accelerator, or a .toml file; default tlmm-kv260."),
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


@app.command(
    epilog="Example: trilobite bench --shape bitnet-0.73b --context 128 --threads 1,2",
    cls=command_class(formats_table, retired=FORMAT_OPTIONS),
)
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
        str, typer.Option(
            metavar="FORMAT[,OPTION...]", help="--shape: number format of the layers' weights."
        )
    ] = "ternary",
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
        format,
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
