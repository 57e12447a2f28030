"""``trilobite estimate``."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.text import Text

from ..cli.console import Output, make_table
from ..cli.text import marked
from ..errors import EstimateError, TrilobiteError
from ..fpga.configuration import configurations
from ..quant.checkpoint import Checkpoint, open_checkpoint
from ..quant.formats import Int4
from ..sim.descriptions.device import Device, load_device
from ..sim.descriptions.hardware import Hardware, load_hardware
from ..sim.descriptions.quantity import Range
from ..sim.descriptions.shapes import ModelShape, load_shape, shape_names
from ..sim.descriptions.soc import load_soc
from ..sim.descriptions.tables import own_names
from ..sim.events import write_trace
from ..sim.formulas.estimate import estimate
from ..sim.formulas.phases import phase_timelines
from ..sim.formulas.results import Estimate
from ..sim.report import (
    compare_runs,
    digits,
    read_run,
    report_json,
    scaled,
    write_csv,
    write_report,
)
from ..sim.this_machine.runtime_estimate import THIS_MACHINE, estimate_runtime

__all__ = ["find_shape", "predict", "print_estimates", "run"]

FORMULAS = "tlmm-kv260"   # the description that is estimated where no accelerator in RTL is


def run(
    output: Output, names: Sequence[str], device_name: str, hardware_name: str | None, prompt: int,
    tokens: int, report: Path | None, measure: bool, trace: Path | None = None,
    csv: Path | None = None, compare: Path | None = None,
) -> None:
    """Estimate each model, print the results, and write the report, the table and the trace."""
    earlier = None if compare is None else read_run(compare)
    if device_name == THIS_MACHINE:
        _estimate_here(output, names, prompt)
        return
    device = load_device(device_name)
    shapes = [find_shape(output, name) for name in names]
    estimates, tools = _estimates(output, shapes, device, hardware_name or _usual(
        device_name, measure), prompt, tokens, measure, chosen=hardware_name is not None)
    print_estimates(output, estimates)
    compared = compare_runs(earlier, estimates) if earlier else []
    if earlier:
        _print_comparison(output, compare, compared)
    if report is not None:
        write_report(estimates, report, tools, compared)
        output.print(f"Report: {report}")
    if csv is not None:
        write_csv(estimates, csv)
        output.print(f"Table: {csv}")
    if trace is not None:
        write_trace({
            f"{result.model.name}, {name}": timeline
            for result in estimates for name, timeline in phase_timelines(result).items()
        }, trace)
        output.print(f"Trace: {trace}")
    output.json(report_json(estimates, tools, compared))


def _estimate_here(output: Output, names: Sequence[str], prompt: int) -> None:
    """Predict the runtime, with ternary weights, on the machine that was calibrated."""
    if THIS_MACHINE not in own_names("devices"):
        raise EstimateError("This machine has not been measured; `trilobite calibrate` does it")
    soc = load_soc(THIS_MACHINE)
    table = make_table("model", ">first token", ">decode",
                       title=f"{soc.name}, ternary weights, prompt {prompt}")
    results = []
    for name in names:
        shape = find_shape(output, name)
        result = estimate_runtime(soc, shape.config, "ternary", prompt)
        table.add_row(shape.name, _ranged(result.first_token, "s"), _ranged(result.rate, "token/s"))
        results.append({"model": shape.name, "first_token": result.first_token.to_json("s"),
                        "rate": result.rate.to_json("token/s")})
    output.print(table)
    output.json({"prompt": prompt, "runtime": results})


def _usual(device_name: str, measure: bool) -> str:
    """The device's accelerator in RTL, if it has one; the formulas' description otherwise.

    Only the formulas have a place for measured cycles of single matmuls.
    """
    return device_name if device_name in configurations() and not measure else FORMULAS


def _estimates(
    output: Output, shapes: Sequence[ModelShape], device: Device, hardware_name: str, prompt: int,
    tokens: int, measure: bool, chosen: bool,
) -> tuple[list[Estimate], dict[str, str]]:
    """The estimates, and the versions of tools that took part.

    An accelerator in RTL that nobody has chosen gives way to formulas where it cannot run a model.
    """
    if hardware_name in configurations():
        if measure:
            raise EstimateError(f"{hardware_name} is an accelerator in RTL, whose cycles are "
                                f"predicted: --simulate is for {FORMULAS}, or a .toml file")
        try:
            return predict(output, shapes, device, hardware_name, prompt, tokens), {}
        except TrilobiteError as error:
            if chosen:
                raise
            output.warn(f"By the formulas of {FORMULAS}, not by the cycle model. {error}")
            hardware_name = FORMULAS
    hardware = load_hardware(hardware_name)
    cycles, tools = _simulate(output, shapes, hardware) if measure else ({}, {})
    return [estimate(shape, device, hardware, prompt, tokens, cycles) for shape in shapes], tools


def predict(output: Output, shapes: Sequence[ModelShape], device: Device, name: str, prompt: int,
            tokens: int) -> list[Estimate]:
    """Estimates on the accelerator ``name``, its cycles predicted from its descriptors."""
    # The cycle model takes its latencies from the hardware's classes, which need the RTL tools.
    if find_spec("amaranth") is None:
        raise EstimateError(f"{name} is predicted from its hardware's description, which needs "
                            "Amaranth: pip install 'trilobite[rtl]'")
    from ..sim.predictions.accelerator_estimate import estimate_accelerator  # noqa: PLC0415

    results: list[Estimate] = []
    with output.progress("Predicting", len(shapes)) as advance:
        for shape in shapes:
            results.append(estimate_accelerator(
                shape, device, name, prompt, tokens,
                lambda share, name=shape.name: advance(len(results) + share, f"Predicting {name}")))
    return results


def _simulate(
    output: Output, shapes: Sequence[ModelShape], hardware: Hardware
) -> tuple[dict[tuple[int, int], int], dict[str, str]]:
    """Cycles of every linear's shape in RTL simulation, and the versions of the tools."""
    # An estimate without a simulation must not need the RTL tools.
    from ..sim.verify.random_matrices import linear_shapes, random_matrices  # noqa: PLC0415
    from .verify import print_report, simulate, simulation_tools  # noqa: PLC0415

    matrices = random_matrices(linear_shapes(shape.config for shape in shapes))
    measured = simulate(output, matrices, hardware.tlmm.parameters())
    print_report(output, measured)
    if measured.mismatches:
        raise EstimateError("The simulation found wrong sums: its cycles mean nothing")
    return measured.measured_cycles(), simulation_tools()


def find_shape(output: Output, name: str) -> ModelShape:
    """The shape called ``name``, or the one of the checkpoint at ``name``."""
    if name in shape_names() or name.endswith(".toml"):
        return load_shape(name)
    with open_checkpoint(name) as checkpoint:
        quantized = (checkpoint.quantization or {}).get("format")
        if quantized not in (None, "ternary"):
            raise EstimateError(
                f"{name} is {quantized}, and the accelerator multiplies ternary weights; "
                "quantize the model with --format ternary"
            )
        if quantized is None and not checkpoint.config.bitlinear:
            output.warn(f"{name} is not ternary; it is estimated as if it were.")
        return ModelShape(Path(name).name, str(checkpoint.folder), checkpoint.config,
                          _vocabulary_bits(checkpoint))


def _vocabulary_bits(checkpoint: Checkpoint) -> tuple[int, int]:
    """Of embedding and head, as they are stored; 8 of float ones, which become int8."""
    embedding = "model.embed_tokens.weight"
    head = embedding if checkpoint.config.tie_word_embeddings else "lm_head.weight"
    forms = [checkpoint.format(name) for name in (embedding, head)]
    embedding_bits, head_bits = (4 if isinstance(form, Int4) else 8 for form in forms)
    return embedding_bits, head_bits


def print_estimates(output: Output, estimates: Sequence[Estimate]) -> None:
    """Per model: nominal values, and under them the range over all constants' ranges."""
    first = estimates[0]
    table = make_table(
        "model", ">first token", ">decode", ">energy per token",
        title=f"{first.device.name}, {first.hardware.name}, prompt {first.prompt}, {first.tokens} "
              "tokens",
    )
    for result in estimates:
        table.add_row(
            result.model.name,
            _ranged(result.first_token, "s"),
            _ranged(result.rate, "token/s"),
            _ranged(result.decode_joules, "J"),
        )
    output.print(table)


def _print_comparison(output: Output, path: Path, compared: Sequence[dict[str, Any]]) -> None:
    """Per model what changed since the run of ``path``."""
    if not compared:
        output.warn(f"{path} has none of these models: nothing is compared.")
    for one in compared:
        table = make_table("figure", ">before", ">now", ">change", title=one["model"])
        for figure in one["figures"]:
            factor, unit = scaled(figure["before"] or figure["now"], figure["unit"])
            ratio = figure["ratio"]
            colour = {True: "green", False: "red", None: "dim"}[figure["better"]]
            change = "-" if ratio is None else f"{100 * (ratio - 1):+.1f} %"
            table.add_row(figure["name"], f"{digits(figure['before'] * factor)} {unit}",
                          f"{digits(figure['now'] * factor)} {unit}", Text(change, colour))
        output.print(table)


def _ranged(value: Range, unit: str) -> Text:
    factor, prefixed = scaled(value.nominal, unit)
    low, nominal, high = (digits(factor * end) for end in (value.low, value.nominal, value.high))
    return marked("[bold]{}[/] {}\n[dim]{} to {}[/]", nominal, prefixed, low, high)
