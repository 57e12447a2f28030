"""``trilobite explore --check``: the first designs of a front in RTL and by the cycle model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..cli.console import Output, make_table
from ..errors import TrilobiteError
from ..sim.descriptions.device import Device
from ..sim.descriptions.shapes import ModelShape
from ..sim.explore import Found, Result
from ..sim.explore.answer import engine_name
from ..sim.report import digits

if TYPE_CHECKING:   # needs the RTL tools
    from ..sim.explore.accelerators import Counted, Whole

__all__ = ["Checking", "check_front"]


@dataclass(frozen=True)
class Checking:
    """How many of the front's designs are simulated, and where; and whether as a whole."""

    count: int = 0
    workers: int = 1
    cluster: str | None = None
    accelerators: bool = False


def check_front(
    output: Output, shape: ModelShape, devices: Sequence[Device], result: Result,
    checking: Checking, prompt: int, tokens: int,
) -> dict[str, list[dict[str, Any]]]:
    """Print, and return for the document: ``checked`` engines, ``whole`` accelerators."""
    chosen = _first_of_each_engine(result, checking.count)
    return {"checked": _simulate(output, shape, chosen, checking),
            "whole": _whole(output, shape, devices, chosen, checking, prompt, tokens)}


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
    from ..sim.verify.random_matrices import linear_shapes  # noqa: PLC0415

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
    from ..sim.explore.accelerators import predict_whole, whole_json  # noqa: PLC0415 - as above

    by_name = {device.name: device for device in devices}
    predicted: list[Whole | str] = []   # or why there is none
    with output.progress("Predicting accelerators", len(chosen)) as advance:
        for one in chosen:
            try:
                predicted.append(predict_whole(one, shape, by_name[one.design.device], prompt,
                                               tokens))
            except TrilobiteError as error:
                predicted.append(str(error))
            advance(len(predicted))
    exist = [not isinstance(said, str) for said in predicted]
    counted = _count(output, chosen, exist, checking)
    rows = [whole_json(*of) for of in zip(chosen, predicted, counted, strict=True)]
    _print_whole(output, chosen, rows)
    return rows


def _count(
    output: Output, chosen: Sequence[Found], exist: Sequence[bool], checking: Checking
) -> list[Counted | None]:
    """RTL simulations of the accelerators that exist, if they are wanted."""
    if not checking.accelerators:
        return [None] * len(chosen)
    from ..sim.explore.accelerators import accelerator_of, check_accelerator  # noqa: PLC0415
    from ..sim.explore.tasks import run_tasks  # noqa: PLC0415 - as above

    real = [accelerator_of(one) for one, exists in zip(chosen, exist, strict=True) if exists]
    with output.progress("Simulating accelerators", len(real)) as advance:
        counted = iter(run_tasks(check_accelerator, real, None, checking.workers,
                                 checking.cluster, advance))
    return [next(counted) if exists else None for exists in exist]


def _print_whole(
    output: Output, chosen: Sequence[Found], rows: Sequence[Mapping[str, Any]]
) -> None:
    table = make_table("design", ">first token", ">formula", ">tokens/s", ">formula", ">RTL",
                       title="Whole accelerators by the cycle model")
    refused = []
    for one, row in zip(chosen, rows, strict=True):
        name = f"{engine_name(one)}, {one.design.mhz:g} MHz, {one.design.urams} URAM"
        if "reason" in row:
            refused.append(f"{name}: {row['reason']}")
            continue
        said, errors, rtl = row["predicted"], row["errors"], row["rtl"]
        table.add_row(name, digits(said["first_token"]), f"{errors['first_token']:+.0%}",
                      digits(said["tokens_per_second"]), f"{errors['tokens_per_second']:+.0%}",
                      f"{rtl['worst_error']:.2%} off" if rtl else "-")
    output.print(table)
    for sentence in refused:
        output.print(sentence, markup=False)
