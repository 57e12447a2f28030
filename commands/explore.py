"""``trilobite explore``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..console import Output, make_table
from ..errors import EstimateError, TrilobiteError
from ..sim.device import Device, load_device
from ..sim.estimate import estimate
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
from ..sim.hardware import load_hardware
from ..sim.report import digits, write_front
from ..sim.shapes import ModelShape
from .estimate import find_shape

__all__ = ["Checking", "run"]


@dataclass(frozen=True)
class Checking:
    """How many of the front's designs are simulated, and where; and whether as a whole."""

    count: int = 0
    workers: int = 1
    cluster: str | None = None
    accelerators: bool = False


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
    chosen = _first_of_each_engine(result, checking.count)
    checked = _simulate(output, shape, chosen, checking)
    whole = _whole(output, shape, devices, chosen, checking, prompt, tokens)
    document = _document(name, shape, devices, hardware.name, result, measured, errors, sentence,
                         best)
    document["checked"], document["whole"] = checked, whole
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


def _first_of_each_engine(result: Result, count: int) -> list[Found]:
    """The front's first designs, so many, of different engines."""
    first: dict[Any, Found] = {}
    for one in result.front:
        first.setdefault(one.engine, one)
    return list(first.values())[:count]


def _simulate(
    output: Output, shape: ModelShape, chosen: Sequence[Found], checking: Checking
) -> list[dict[str, Any]]:
    """Check the engines of designs in RTL simulation."""
    if not chosen:
        return []
    # A search without a simulation must not need the RTL tools.
    from ..sim.explore.check import check_engines  # noqa: PLC0415
    from ..sim.random_matrices import linear_shapes  # noqa: PLC0415

    engines = [one.engine for one in chosen]
    shapes = tuple(linear_shapes([shape.config]))
    with output.progress("Simulating engines", len(engines)) as advance:
        found = check_engines(engines, shapes, checking.workers, checking.cluster, advance)
    table = make_table("engine", ">shapes", ">cycles", ">formula", ">worst error", ">wrong sums",
                       title="RTL simulation")
    rows = []
    for design, one in zip(chosen, found, strict=True):
        table.add_row(engine_name(design), str(len(one.shapes)), f"{sum(one.cycles):,}",
                      f"{sum(one.predicted):,}", f"{one.worst_error:.2%}", str(one.mismatches))
        rows.append({"format": design.design.format, "engine": design.design.engine,
                     **one.to_json()})
    output.print(table)
    return rows


def _whole(
    output: Output, shape: ModelShape, devices: Sequence[Device], chosen: Sequence[Found],
    checking: Checking, prompt: int, tokens: int,
) -> list[dict[str, Any]]:
    """Designs as whole accelerators: the cycle model's prediction, and RTL of a small model."""
    if not chosen:
        return []
    from ..sim.explore.tasks import run_tasks  # noqa: PLC0415 - as above
    from ..sim.explore.whole import (  # noqa: PLC0415
        Counted,
        Whole,
        accelerator_of,
        check_accelerator,
        predict_whole,
        whole_json,
    )

    by_name = {device.name: device for device in devices}
    predicted: list[Whole | str] = []
    with output.progress("Predicting accelerators", len(chosen)) as advance:
        for one in chosen:
            try:
                predicted.append(predict_whole(one, shape, by_name[one.design.device], prompt,
                                               tokens))
            except TrilobiteError as error:
                predicted.append(str(error))
            advance(len(predicted))
    counted: dict[int, Counted] = {}
    if checking.accelerators:
        real = [one for one, said in zip(chosen, predicted, strict=True)
                if not isinstance(said, str)]
        with output.progress("Simulating accelerators", len(real)) as advance:
            counted = dict(zip(map(id, real), run_tasks(
                check_accelerator, [accelerator_of(one) for one in real], None,
                checking.workers, checking.cluster, advance), strict=True))
    table = make_table("design", ">first token", ">formula", ">tokens/s", ">formula", ">RTL",
                       title="Whole accelerators by the cycle model")
    rows, refused = [], []
    for one, said in zip(chosen, predicted, strict=True):
        row = whole_json(one, said, counted.get(id(one)))
        rows.append(row)
        name = f"{engine_name(one)}, {one.design.mhz:g} MHz, {one.design.urams} URAM"
        if isinstance(said, str):
            refused.append(f"{name}: {said}")
            continue
        rtl = f"{row['rtl']['worst_error']:.2%} off" if row["rtl"] else "-"
        table.add_row(name, digits(said.first_token), f"{row['errors']['first_token']:+.0%}",
                      digits(said.tokens_per_second), f"{row['errors']['tokens_per_second']:+.0%}",
                      rtl)
    output.print(table)
    for sentence in refused:
        output.print(sentence, markup=False)
    return rows


def _document(
    name: str, shape: ModelShape, devices: list[Device], hardware: str, result: Result,
    measured: Perplexities, errors: dict[str, dict[str, float]], sentence: str, best: str,
) -> dict[str, Any]:
    """What ``--json`` writes; docs/commands.md documents its keys."""
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
