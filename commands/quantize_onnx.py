"""``trilobite quantize`` of an ONNX model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..cli.console import Output, bytes_text, make_table
from ..errors import FormatError
from ..quant.methods import ROUNDING
from ..quant.onnx import require_onnx
from ..quant.plan import choose_format
from .quantize import tensor_line

if TYPE_CHECKING:
    from ..quant.onnx.record import OnnxManifest

__all__ = ["run"]


def run(
    output: Output, source: str, out: Path, method: str, layout: str, strict: bool,
    overwrite: bool, dry_run: bool, **format_options: Any,
) -> None:
    """Quantize with a line per weight; say which stayed float and why."""
    if method != ROUNDING:
        raise FormatError(
            f"Method {method} needs the model's layers, which an ONNX graph does not name; its "
            f"weights are rounded (--method {ROUNDING})"
        )
    form = choose_format(**format_options)
    require_onnx()
    from ..quant.onnx.quantize import quantize_onnx  # noqa: PLC0415

    with output.bar(f"Quantizing {source}", tensor_line) as bar:
        manifest = quantize_onnx(source, out, form, layout, strict, overwrite, dry_run, bar)
    if dry_run:
        for record in manifest.tensors:
            output.print(tensor_line(record), markup=False, soft_wrap=True)
    _print(output, manifest)
    if dry_run:
        output.print("Dry run: no weight was read and nothing was written.")
    else:
        output.print(f"Written to {out}", markup=False)
    output.json(json.loads(manifest.to_json()))


def _print(output: Output, manifest: OnnxManifest) -> None:
    table = make_table("", ">number", ">before", ">after")
    table.add_row("quantized weights", str(len(manifest.tensors)),
                  bytes_text(manifest.bytes_before), bytes_text(manifest.bytes_after))
    table.add_row("other float tensors", str(len(manifest.kept)), "", "")
    output.print(table)
    if manifest.opset_before != manifest.opset_after:
        output.print(f"Opset {manifest.opset_before} raised to {manifest.opset_after}.")
    for each in manifest.skipped:
        shape = " x ".join(str(extent) for extent in each.shape)
        output.print(f"Stays float: {each.name} {shape}: {each.reason}", markup=False,
                     soft_wrap=True, style="yellow")
    for warning in manifest.warnings:
        output.warn(warning)
