"""``trilobite explore``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..cli.console import Output, make_table
from ..errors import EstimateError
from ..sim.descriptions.device import Device, load_device
from ..sim.descriptions.hardware import load_hardware
from ..sim.descriptions.shapes import ModelShape
from ..sim.explore import (
    BEST,
    Found,
    Limits,
    Perplexities,
    Result,
    answer,
    load_perplexities,
    load_synthesized,
    make_spaces,
    search,
)
from ..sim.explore.answer import engine_name
from ..sim.explore.lut_model import Synthesized
from ..sim.explore.perplexity import MEASURED
from ..sim.formulas.estimate import estimate
from ..sim.report import digits, write_front
from .estimate import find_shape
from .explore_checks import Checking, check_front

__all__ = ["run"]


def run(
    output: Output, name: str, device_names: Sequence[str], hardware_name: str,
    formats: Sequence[str], points: int | None, prompt: int, tokens: int, limits: Limits, best: str,
    perplexities: Path | None, checking: Checking, report: Path | None, top: int,
) -> None:
    """Evaluate the designs; print the answer and the best ones of the Pareto front."""
    _check(limits, best, checking, top)
    hardware = load_hardware(hardware_name)
    devices = [load_device(device) for device in device_names]
    shape = find_shape(output, name)
    for device in devices:
        estimate(shape, device, hardware, prompt, tokens)   # refuses what does not fit the device
    measured = _perplexities(shape, perplexities)
    synthesized = load_synthesized()
    _warn_of_others(output, devices, synthesized)
    spaces = make_spaces(devices, hardware, synthesized.around, prompt, shape.config.num_layers,
                         points, formats)
    result = search(spaces, shape, hardware, synthesized, measured, prompt, tokens, limits)
    names = [device.name for device in devices]
    sentence = answer(result, limits, best, shape.name, names, measured)
    _print(output, f"{shape.name} on {', '.join(names)}", result, top)
    output.print(sentence, markup=False)
    output.print(f"Perplexities were measured with {measured.model}, {measured.tokens:,} tokens.",
                 markup=False)
    errors = {" ".join(key): fit.errors() for key, fit in synthesized.fits.items()}
    for key, found in errors.items():
        said = ", ".join(f"{value:.1%} {name.replace('_', ' ')}" for name, value in found.items())
        output.print(f"largest error of the fit, {key}: {said}", markup=False)
    checked = check_front(output, shape, devices, result, checking, prompt, tokens)
    document = _document(name, shape, devices, hardware.name, result, measured, errors, sentence,
                         best)
    document |= checked
    if report is not None:
        write_front(document, report)
        output.print(f"Report: {report}")
    output.json(document)


def _check(limits: Limits, best: str, checking: Checking, top: int) -> None:
    for option, value in (("--max-power", limits.watts), ("--max-lut-share", limits.lut_share),
                          ("--max-pause", limits.pause), ("--top", top)):
        if not value > 0:
            raise EstimateError(f"{option} must be above 0, not {value}")
    if best not in BEST:
        raise EstimateError(f"--best must be one of {', '.join(BEST)}, not {best}")
    if checking.count < 0:
        raise EstimateError(f"--check must not be negative, not {checking.count}")


def _perplexities(shape: ModelShape, path: Path | None) -> Perplexities:
    """Those of the model itself, else of the demo model of its kind."""
    known = load_perplexities(path or MEASURED)
    demo = "demo-bitnet" if shape.config.bitlinear else "demo-llama"
    for name in (shape.name, demo):
        if name in known:
            return known[name]
    raise EstimateError(f"{path} has perplexities of {', '.join(known)}, and not of {shape.name}")


def _warn_of_others(
    output: Output, devices: Sequence[Device], synthesized: Synthesized
) -> None:
    for device in devices:
        if device.name not in synthesized.devices:
            output.warn(f"LUT are counted as on {' and '.join(synthesized.devices)}; those of "
                        f"{device.name} may be others.")


def _document(
    name: str, shape: ModelShape, devices: list[Device], hardware: str, result: Result,
    measured: Perplexities, errors: dict[str, dict[str, float]], sentence: str, best: str,
) -> dict[str, Any]:
    """What ``--json`` writes; docs/reference/commands.md documents its keys."""
    found = result.best(best)
    return {
        "model": shape.name, "devices": [device.name for device in devices], "hardware": hardware,
        **result.counts,
        "smallest_lut_share": result.smallest_share, "smallest_watts": result.smallest_watts,
        "perplexity_model": measured.model, "perplexity_tokens": measured.tokens,
        "fit_errors": errors, "answer": sentence, "best_in": best,
        "best": found.to_json() if found else None,
        "front": [one.to_json() for one in result.front],
        "published": [
            {"name": one.name, "tokens_per_second": one.tokens_per_second.nominal,
             "joules_per_token": one.energy.nominal, "watts": one.power.nominal,
             "first_token": one.first_token.nominal if one.first_token else None}
            for device in devices for one in device.published if one.model in (name, shape.name)
        ],
    }


def _print(output: Output, title: str, result: Result, top: int) -> None:
    counts = result.counts
    output.print(
        f"{counts['points']:,} designs: {counts['within_power']:,} within the power, "
        f"{counts['within_lut']:,} within the LUT and DSP, {counts['within_pause']:,} within the "
        f"pause, {counts['within_all']:,} within all; {len(result.front):,} on the front")
    if not result.front:
        return
    table = make_table("engine", ">MHz", ">URAM", "prompt", ">KV", ">ppl", ">first",
                       ">tok/s", ">J/tok", ">W", ">LUT", title=title)
    for column in table.columns:
        column.no_wrap = True   # 80 characters hold all
    table.padding = (0, 1, 0, 0)
    for one in result.front[:top]:
        table.add_row(*_row(one))
    output.print(table)


def _row(one: Found) -> tuple[str, ...]:
    design = one.design
    kind, _, size = engine_name(one).partition(" ")
    return (
        f"{kind[0].upper()} {size} {design.lanes}", f"{design.mhz:g}", str(design.urams),
        design.policy, str(design.kv_bits), f"{one.perplexity:.2f}", digits(one.first_token),
        digits(one.tokens_per_second), digits(one.joules_per_token), digits(one.watts),
        f"{one.lut / 1000:,.0f}k",
    )
