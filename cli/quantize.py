"""``trilobite quantize``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import FormatError
from .app import app
from .choices import FORMAT_OPTIONS, command_class, formats_table, methods_table
from .console import Output, bytes_text, make_table
from .options import Json, Layout

if TYPE_CHECKING:
    from ..quant.onnx.record import OnnxManifest
    from ..quant.output.manifest import Manifest, TensorRecord

__all__ = ["quantize", "tensor_line"]


@app.command(
    epilog="Example: trilobite quantize demo-llama -o llama-int4 --format int4,group_size=64",
    cls=command_class(formats_table, methods_table, retired=FORMAT_OPTIONS),
)
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
        str | None,
        typer.Option(
            metavar="FORMAT[,OPTION...]",
            help="Number format of the layers' weights: one of those below, with its options, as "
            "in int4,group_size=64,asymmetric. Without it, ternary for a model that was trained "
            "so, and an error for any other.",
        ),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            metavar="METHOD",
            help="rtn: each weight to its nearest; cas: columns scaled first; gptq, awq, itf: for "
            "inputs on text."
        ),
    ] = "rtn",
    calibration: Annotated[
        Path | None,
        typer.Option(help="gptq, awq, itf: UTF-8 text. The demo models have their own."),
    ] = None,
    seed: Annotated[int, typer.Option(help="gptq, awq, itf: which pieces of the text.")] = 0,
    embedding: Annotated[
        str, typer.Option(help="Embedding and head: int8 per row, or keep.")
    ] = "int8",
    tensor_format: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RE=FORMAT[,OPTION...]",
            help="For the matrices whose name matches; may be repeated; keep is a format here.",
        ),
    ] = None,
    target_bpw: Annotated[
        float | None,
        typer.Option(help="Instead of --format: bits per linear weight, spent where the error is."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="A tensor that does not fit its format is an error.")
    ] = False,
    allow_float: Annotated[
        bool,
        typer.Option(
            "--allow-float", help="What does not fit its format stays float, however much it is."
        ),
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
    from ..api.quantize import is_onnx

    output = Output(json)
    options: dict[str, Any] = {
        "format": format, "method": method, "strict": strict, "allow_float": allow_float,
        "overwrite": overwrite, "dry_run": dry_run,
    }
    if is_onnx(checkpoint):
        if tensor_format or target_bpw is not None:
            raise FormatError("--tensor-format and --target-bpw are not options for ONNX models")
        if calibration is not None:
            raise FormatError("--calibration is no option for ONNX models, whose methods read no "
                              "text; leave it out")
        _quantize_onnx(output, checkpoint, out, layout=layout.value if layout else "qdq", **options)
        return
    if layout:
        raise FormatError("--as is an option for ONNX models; this is none")
    options |= {
        "embedding": embedding, "tensor_formats": tensor_format or (), "target_bpw": target_bpw,
    }
    _quantize_checkpoint(output, checkpoint, out, calibration, seed, **options)


def _quantize_checkpoint(
    output: Output, source: str, out: Path, text: Path | None, seed: int, **options: Any
) -> None:
    """Quantize with a line per tensor, print the totals."""
    from ..api.quantize import needs_text
    from ..api.quantize import quantize as quantize_checkpoint

    chosen = None
    reads = needs_text(options["method"])
    if text is not None and not reads and options["target_bpw"] is None:
        raise FormatError(f"--calibration: method {options['method']} reads no text; leave it out, "
                          "or choose gptq, awq or itf")
    if reads or text is not None:
        from ..api.models import calibration

        chosen = calibration(source, text, seed=seed)
    _print_memory(output, source, 0 if chosen is None else chosen.tokens, **options)
    with output.bar(f"Quantizing {source}", tensor_line) as bar:
        manifest = quantize_checkpoint(source, out, calibration=chosen, progress=bar, **options)
    _print_result(output, manifest, out, options["dry_run"], _totals)


def _print_memory(output: Output, source: str, tokens: int, **options: Any) -> None:
    """Say how much memory the work may take."""
    from ..api.quantize import estimate_memory

    several = options["tensor_formats"] or options["target_bpw"] is not None
    name = "int4" if several else (options["format"] or "ternary").partition(",")[0]
    needed = estimate_memory(source, tokens, name)
    output.print("Memory needed: at most {}", bytes_text(needed))


def _quantize_onnx(output: Output, source: str, out: Path, **options: Any) -> None:
    """Quantize with a line per weight; say which stayed float and why."""
    from ..api.quantize import quantize_onnx

    with output.bar(f"Quantizing {source}", tensor_line) as bar:
        manifest = quantize_onnx(source, out, progress=bar, **options)
    _print_result(output, manifest, out, options["dry_run"], _onnx_totals)


def _print_result(
    output: Output, manifest: Manifest | OnnxManifest, out: Path, dry_run: bool, totals: Any
) -> None:
    """Print what has been written, and where to."""
    if dry_run:
        for record in manifest.tensors:
            output.line(tensor_line(record))
    totals(output, manifest)
    for warning in manifest.warnings:
        output.warn(warning)
    if dry_run:
        output.print("Dry run: no weight was read and nothing was written.")
    else:
        output.print("Written to {}", out)
    output.json(json.loads(manifest.to_json()))


def describe(spec: dict[str, Any] | None) -> str:
    """A format's name with the parameters that differ from model to model."""
    if spec is None:
        return "kept"
    extra = []
    if "group_size" in spec:
        size = spec["group_size"]
        extra = [f"g{size}" if size else "row", "" if spec.get("symmetric", True) else "asymmetric"]
    for option in ("packing", "granularity", "scale_rule"):
        extra += [spec[option]] if option in spec else []
    return " ".join([spec["format"], *filter(None, extra)])


def tensor_line(record: TensorRecord) -> str:
    """What became of a tensor, in one line."""
    shape = " x ".join(str(extent) for extent in record.shape)
    error = ""
    if record.format is not None and record.nmse is not None:
        error = f"  NMSE {record.nmse:.5f}" if record.nmse else "  exact"
    if record.output_nmse is not None:
        error += f", of outputs {record.output_nmse:.5f}"
    name = record.name.removeprefix("model.").removesuffix(".weight")
    return (
        f"{name:<36} {shape:>14}  {record.stored_before:>7} -> {describe(record.format):<14} "
        f"{bytes_text(record.bytes_before):>10} -> {bytes_text(record.bytes_after):>10}{error}"
    )


def _totals(output: Output, manifest: Manifest) -> None:
    totals = manifest.totals
    table = make_table("", ">before", ">after", ">stored bits per weight")
    table.add_row("linear weights", "", "", f"{totals.linear_bits_per_weight:.3f}")
    table.add_row(
        "model", bytes_text(totals.bytes_before), bytes_text(totals.file_bytes),
        f"{totals.bits_per_weight:.3f}",
    )
    output.show(table)


def _onnx_totals(output: Output, manifest: OnnxManifest) -> None:
    table = make_table("", ">number", ">before", ">after")
    table.add_row("quantized weights", str(len(manifest.tensors)),
                  bytes_text(manifest.bytes_before), bytes_text(manifest.bytes_after))
    table.add_row("other float tensors", str(len(manifest.kept)), "", "")
    output.show(table)
    if manifest.opset_before != manifest.opset_after:
        output.print("Opset {} raised to {}.", manifest.opset_before, manifest.opset_after)
    for each in manifest.skipped:
        shape = " x ".join(str(extent) for extent in each.shape)
        output.line(f"Stays float: {each.name} {shape}: {each.reason}", style="yellow")
