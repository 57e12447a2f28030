"""``trilobite serve-sim``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from ..cli.console import Output, make_table
from ..errors import EstimateError
from ..sim.descriptions.device import load_device
from ..sim.descriptions.hardware import load_hardware
from ..sim.descriptions.quantity import Corner
from ..sim.formulas.cycles import CycleModel
from ..sim.formulas.estimate import estimate
from ..sim.formulas.latency import Machine
from ..sim.report import digits
from ..sim.serving import (
    BatchCosts,
    Request,
    Serving,
    generate_requests,
    read_requests,
    serve,
)
from ..sim.serving.batch import Policy
from ..sim.serving.policies import POLICIES
from .estimate import find_shape

__all__ = ["Drawn", "run"]


@dataclass(frozen=True)
class Drawn:
    """How requests are drawn where no file holds them."""

    count: int
    rate: float
    prompt: int
    output: int
    seed: int

    def requests(self) -> list[Request]:
        """The requests."""
        return generate_requests(self.count, self.rate, self.prompt, self.output, self.seed)


def run(
    output: Output, name: str, trace: Path | None, drawn: Drawn, policies: Sequence[str] | None,
    options: Mapping[str, float], slots: int, device_name: str, hardware_name: str,
) -> None:
    """Serve the requests under each policy and print what came of it."""
    chosen = [_policy(one, options) for one in policies or POLICIES]
    requests = drawn.requests() if trace is None else read_requests(trace)
    device, hardware = load_device(device_name), load_hardware(hardware_name)
    shape = find_shape(output, name)
    estimate(shape, device, hardware, 1, 2)   # refuses what does not fit the device
    machine = Machine(
        device, hardware, CycleModel(hardware.tlmm.parameters(), {}), Corner.NOMINAL
    )
    costs = BatchCosts(machine, shape.config)
    results = [serve(costs, requests, policy, slots) for policy in chosen]
    output.print(_table(f"{shape.name} on {device.name}, {len(requests)} requests", results))
    output.print("[dim]times: 50th, 95th, 99th percentile; pause: the longest within a request[/]")
    output.json({
        "model": shape.name, "device": device.name, "hardware": hardware.name, "slots": slots,
        "requests": [dataclasses.asdict(request) for request in requests],
        "policies": [result.as_json() for result in results],
    })


def _policy(name: str, options: Mapping[str, float]) -> Policy:
    """The policy called ``name``, with those of ``options`` that it has."""
    if name not in POLICIES:
        raise EstimateError(f"there is no policy {name!r}; there are {', '.join(POLICIES)}")
    kind = POLICIES[name]
    fields = {field.name for field in dataclasses.fields(kind)}
    return kind(**{key: value for key, value in options.items() if key in fields})


def _table(title: str, results: Sequence[Serving]) -> Table:
    table = make_table(
        "policy", ">first token, s", ">per token, s", ">pause, s", ">token/s", ">J/token",
        title=title,
    )
    for result in results:
        values = result.as_json()
        marks = [
            " ".join(digits(times[mark]) for mark in ("p50", "p95", "p99")) if times else "-"
            for times in (values["first_token"], values["per_token"])
        ]
        table.add_row(
            result.policy, *marks, digits(result.longest_pause),
            digits(values["tokens_per_second"]), digits(result.joules_per_token),
        )
    return table
