"""Many requests on one accelerator: waiting times and energy under each policy."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import EstimateError
from ..sim.descriptions.accelerator import load_accelerator
from ..sim.descriptions.device import Device
from ..sim.descriptions.presets import read_device
from ..sim.descriptions.quantity import Corner
from ..sim.descriptions.shapes import ModelShape
from ..sim.descriptions.soc import Soc
from ..sim.formulas.cycles import CycleModel
from ..sim.formulas.estimate import estimate
from ..sim.formulas.latency import Machine
from ..sim.processors.estimate import estimate_processor
from ..sim.serving import (
    BatchCosts,
    ProcessorBatchCosts,
    Request,
    Serving,
    generate_requests,
    read_requests,
    serve,
)
from ..sim.serving.batch import Policy
from ..sim.serving.costs import ServingCosts
from ..sim.serving.policies import POLICIES
from ..tools.progress import SILENT, PartOfWork, Progress
from .shapes import Model, find_shapes, find_stored
from .unused import refuse

__all__ = ["Request", "ServedRequests", "draw_requests", "serve_sim"]


@dataclass(frozen=True)
class ServedRequests:
    """What came of ``requests`` under each policy, at most ``slots`` of them at once."""

    model: ModelShape
    device: Device | Soc
    hardware: str
    slots: int
    requests: tuple[Request, ...]
    policies: tuple[Serving, ...]
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON values; docs/reference/json.md has the keys."""
        return {
            "model": self.model.name, "device": self.device.name, "hardware": self.hardware,
            "slots": self.slots,
            "requests": [dataclasses.asdict(request) for request in self.requests],
            "policies": [result.as_json() for result in self.policies],
        }


def draw_requests(
    count: int = 50, rate: float = 1.0, prompt: int = 128, output: int = 64, seed: int = 0
) -> tuple[Request, ...]:
    """``count`` requests at random, ``rate`` a second; ``prompt`` and ``output`` are mean tokens.

    Raises
    ------
    EstimateError
        A number is out of range.
    """
    return tuple(generate_requests(count, rate, prompt, output, seed))


def serve_sim(
    model: Model, requests: Sequence[Request] | str | Path | None = None,
    policies: Sequence[str] | None = None, chunk: int = 128, groups: int = 4, slack: float = 4.0,
    slots: int = 8, device: str = "kv260", hardware: str | None = None,
    progress: Progress = SILENT, processor: str | None = None, format: str | None = None,
    engine: str | None = None, kv: str | None = None,
) -> ServedRequests:
    """Serve requests on a device under each policy.

    Parameters
    ----------
    model
        A shape's name, a model folder, a .toml file or a ``ModelShape``.
    requests
        The requests, or a .csv or .jsonl file of them; None takes those of ``draw_requests()``.
    policies
        Names of ``sim.serving.policies.POLICIES``; None takes all.
    chunk, groups, slack
        Of the policies ``chunked``, ``layered`` and ``flow``: tokens of a batch, groups of layers,
        and a prompt's deadline in times of its own prefill.
    slots
        At most so many requests at once.
    device, hardware
        Descriptions by name, or .toml files. On a board, None takes ``tlmm-kv260``.
    progress
        Counts requests that are served, under each policy anew.
    processor, format, engine, kv
        On a SoC: as ``estimate`` has them.

    Raises
    ------
    EstimateError
        There is no such policy, device or accelerator, the requests are wrong, the model does not
        fit the device, or an option has no effect on it.
    CheckpointError
        There is no such model.
    """
    of_policies = {"chunk": chunk, "groups": groups, "slack": slack}
    chosen = [_policy(name, of_policies) for name in policies or POLICIES]
    if requests is None:
        requests = draw_requests()
    elif isinstance(requests, str | Path):
        requests = read_requests(Path(requests))
    board = read_device(device)
    options = {"--processor": processor, "--format": format, "--engine": engine, "--kv": kv}
    served = _on_processor(model, board, hardware, options) if isinstance(board, Soc) else (
        _on_board(model, board, hardware, options))
    progress.start(len(requests) * len(chosen))
    results = tuple(
        serve(served.costs, requests, policy, slots, PartOfWork(progress, len(requests)))
        for policy in chosen)
    return ServedRequests(served.model, board, served.hardware, slots, tuple(requests), results,
                          served.warnings + _saturated(results, len(requests)))


@dataclass(frozen=True)
class _Served:
    """What serves: the model as it runs on a device, and what batches of it cost there."""

    model: ModelShape
    hardware: str
    costs: ServingCosts
    warnings: tuple[str, ...]


def _on_processor(model: Model, soc: Soc, hardware: str | None,
                  options: Mapping[str, str | None]) -> _Served:
    refuse(soc.name, {"--hardware": hardware}, "which computes with the processors that it has")
    shape, stored = find_stored(model, options["--format"])
    found = estimate_processor(shape, soc, options["--processor"], stored,
                               options["--kv"] or "f16", 1, 2, options["--engine"])
    return _Served(shape, found.hardware_name, ProcessorBatchCosts(found.costs), found.assumptions)


def _on_board(model: Model, board: Device, hardware: str | None,
              options: Mapping[str, str | None]) -> _Served:
    refuse(board.name, options, "whose accelerator has one way")
    accelerator = load_accelerator(hardware or "tlmm-kv260").formulas
    found = find_shapes([model])
    shape, = found.shapes
    estimate(shape, board, accelerator, 1, 2)   # refuses what does not fit the device
    machine = Machine(
        board, accelerator, CycleModel(accelerator.tlmm.parameters(), {}), Corner.NOMINAL
    )
    return _Served(shape, accelerator.name, BatchCosts(machine, shape.config), found.warnings)


def _saturated(results: Sequence[Serving], requests: int) -> tuple[str, ...]:
    """Says under which policies requests come faster than they are served."""
    return tuple(
        f"{one.policy}: saturated. {one.backlog} of {requests} requests had no slot when the last "
        "one had arrived: they come faster than they are served, and times grow with their number."
        for one in results if one.saturated)


def _policy(name: str, options: Mapping[str, Any]) -> Policy:
    """The policy called ``name``, with those of ``options`` that it has."""
    if name not in POLICIES:
        raise EstimateError(f"there is no policy {name!r}; there are {', '.join(POLICIES)}")
    kind = POLICIES[name]
    fields = {field.name for field in dataclasses.fields(kind)}
    return kind(**{key: value for key, value in options.items() if key in fields})
