"""``trilobite explore``."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ..console import Output, make_table
from ..errors import EstimateError
from ..sim.device import load_device
from ..sim.estimate import estimate
from ..sim.explore import evaluate, grid_front, load_lut_model, make_space
from ..sim.hardware import load_hardware
from ..sim.report import digits
from .estimate import find_shape

__all__ = ["run"]


def run(
    output: Output, name: str, device_name: str, hardware_name: str, points: int, prompt: int,
    tokens: int, max_power: float | None, max_lut_share: float | None, around: int | None,
    top: int,
) -> None:
    """Evaluate the designs, and print the best ones of the Pareto front and how many fit."""
    _check(max_power, max_lut_share, around, top)
    device, hardware = load_device(device_name), load_hardware(hardware_name)
    shape = find_shape(output, name)
    estimate(shape, device, hardware, prompt, tokens)   # refuses what does not fit the device
    space = make_space(device, hardware, prompt, points)
    luts = load_lut_model()
    around = luts.around if around is None else around
    costs = evaluate(space, shape, device, hardware, prompt, tokens)
    total = luts.luts(space.engines).reshape(-1, 1, 1, 1, 1) + around
    limit = np.inf if max_lut_share is None else max_lut_share * device.fabric.lut.count
    in_power = np.broadcast_to(costs.watts <= (max_power or np.inf), space.shape)
    in_luts = np.broadcast_to(total <= limit, space.shape)
    # No perplexity is measured for a shape: a wider cache stands for not being worse.
    cache = -np.array(space.kv_bits, float)
    front = grid_front(
        [costs.first_token, -costs.rate, costs.joules, total, cache], in_power & in_luts)
    arrays = (costs.first_token, costs.rate, costs.joules, costs.watts, total)
    rows: list[dict[str, Any]] = []
    for position in front:
        index = np.unravel_index(position, space.shape)
        values = [float(np.broadcast_to(one, space.shape)[index]) for one in arrays]
        rows.append(dataclasses.asdict(space.design(*map(int, index))) | dict(zip(
            ("first_token", "tokens_per_second", "joules_per_token", "watts", "lut"), values,
            strict=True)))
    rows.sort(key=lambda row: (-row["tokens_per_second"], row["first_token"]))
    counts = {"points": space.size, "within_power": int(in_power.sum()),
              "within_lut": int(in_luts.sum()), "within_both": int((in_power & in_luts).sum())}
    _print(output, f"{shape.name} on {device.name}", rows[:top], len(rows), counts)
    output.print(
        f"smallest: {total.min():,.0f} LUT ({total.min() / device.fabric.lut.count:.0%} of the "
        f"device, {around:,} of them around the engine), {costs.watts.min():.2f} W", markup=False)
    errors = {key: max(map(abs, getattr(luts, key))) for key in
              ("fitted", "left_out", "held_out")}
    output.print("largest error of the LUT model: " + ", ".join(
        f"{value:.1%} {key.replace('_', ' ')}" for key, value in errors.items()))
    output.print("Perplexity is not measured for these designs and is no objective.")
    output.json({
        "model": shape.name, "device": device.name, "hardware": hardware.name, **counts,
        "smallest_lut": float(total.min()), "smallest_watts": float(costs.watts.min()),
        "around_lut": around, "lut_errors": errors, "perplexity": None,
        "best": rows[0] if rows else None, "front": rows,
    })


def _check(power: float | None, share: float | None, around: int | None, top: int) -> None:
    for option, value in (("--max-power", power), ("--max-lut-share", share), ("--top", top)):
        if value is not None and not 0 < value < float("inf"):
            raise EstimateError(f"{option} must be above 0 and finite, not {value}")
    if around is not None and around < 0:
        raise EstimateError(f"--around-lut must not be negative, not {around}")


def _print(
    output: Output, title: str, rows: list[dict[str, Any]], found: int, counts: dict[str, int],
) -> None:
    output.print(f"{counts['points']:,} designs: {counts['within_power']:,} within the power, "
                 f"{counts['within_lut']:,} within the LUT, {counts['within_both']:,} within both; "
                 f"{found:,} on the front")
    if not rows:
        output.print("No design keeps the limits.")
        return
    table = make_table("GxTxC", ">MHz", ">URAM", ">chunk", ">KV", ">first, s", ">token/s",
                       ">J/token", ">W", ">LUT", title=title)
    table.columns[0].no_wrap = True
    table.padding = (0, 1, 0, 0)   # 80 characters hold all columns
    for row in rows:
        table.add_row(
            f"{row['group_size']}x{row['tables']}x{row['columns']}", f"{row['mhz']:.0f}",
            str(row["urams"]), str(row["chunk"]), f"int{row['kv_bits']}",
            *(digits(row[key]) for key in
              ("first_token", "tokens_per_second", "joules_per_token", "watts")),
            f"{row['lut']:,.0f}")
    output.print(table)
