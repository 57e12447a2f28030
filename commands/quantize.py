"""``trilobite quantize``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..cli.console import Output, bytes_text, make_table
from ..quant.manifest import Manifest, TensorRecord
from ..quant.methods import METHODS, Calibration
from ..quant.pipeline import estimate_memory, quantize

__all__ = ["describe", "quantize_with_progress", "run", "tensor_line"]


def run(
    output: Output, source: str, out: Path, method: str, text: Path | None, seed: int,
    **options: Any,
) -> None:
    """Quantize with a line per tensor, print the totals."""
    options |= {"method": method}
    tokens = 0
    calibrates = method in METHODS and METHODS[method].calibrates
    if calibrates or (options["target_bpw"] is not None and text is not None):
        options["calibration"] = calibration(source, text, seed)
        tokens = options["calibration"].tokens
    several = options["tensor_formats"] or options["target_bpw"] is not None
    needed = estimate_memory(source, tokens, "int4" if several else options["format"])
    output.print(f"Memory needed: at most {bytes_text(needed)}")
    manifest = quantize_with_progress(output, source, out, lines=True, **options)
    if options["dry_run"]:
        for record in manifest.tensors:
            output.print(tensor_line(record), markup=False, soft_wrap=True)
    _print_totals(output, manifest)
    if options["dry_run"]:
        output.print("Dry run: no weight was read and nothing was written.")
    else:
        output.print(f"Written to {out}", markup=False)
    output.json(json.loads(manifest.to_json()))


def calibration(source: str, text: Path | None, seed: int) -> Calibration:
    """The calibration text; only here is the runtime, with Numba, imported."""
    from ..api.models import calibration as choose  # noqa: PLC0415

    return choose(source, text, seed=seed)


def quantize_with_progress(
    output: Output, source: str, out: Path, lines: bool = False, **options: Any
) -> Manifest:
    """``quantize`` with a progress bar and, if ``lines``, a line per tensor above it."""
    with output.bar(f"Quantizing {source}", tensor_line if lines else None) as bar:
        return quantize(source, out, progress=bar, **options)


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


def _print_totals(output: Output, manifest: Manifest) -> None:
    totals = manifest.totals
    table = make_table("", ">before", ">after", ">stored bits per weight")
    table.add_row("linear weights", "", "", f"{totals.linear_bits_per_weight:.3f}")
    table.add_row(
        "model", bytes_text(totals.bytes_before), bytes_text(totals.file_bytes),
        f"{totals.bits_per_weight:.3f}",
    )
    output.print(table)
    for warning in manifest.warnings:
        output.warn(warning)
