"""What a device will do with models: time, rate and energy, with a range for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import EstimateError, TrilobiteError
from ..sim.descriptions.accelerator import (
    AcceleratorDescription,
    accelerator_names,
    load_accelerator,
)
from ..sim.descriptions.device import Device
from ..sim.descriptions.presets import read_device
from ..sim.descriptions.shapes import ModelShape
from ..sim.descriptions.soc import Soc, load_soc
from ..sim.descriptions.tables import own_names
from ..sim.events import write_trace
from ..sim.formulas.cost_model import RequestRates
from ..sim.formulas.estimate import estimate as estimate_by_formulas
from ..sim.formulas.results import Estimate, RequestEstimate
from ..sim.processors.estimate import ProcessorEstimate, estimate_processor
from ..sim.report import (
    compare_runs,
    range_text,
    read_run,
    report_json,
    write_csv,
    write_json,
    write_report,
)
from ..sim.this_machine.runtime_estimate import (
    THIS_MACHINE,
    estimate_runtime,
)
from ..tools.progress import SILENT, PartOfWork, Progress
from .known_error import known_error
from .shapes import Model, find_shapes, find_stored
from .unused import refuse

if TYPE_CHECKING:   # needs the RTL tools
    from .verify import TimedEngine

__all__ = [
    "THIS_MACHINE",
    "Estimates",
    "MachineEstimates",
    "RunComparison",
    "estimate",
    "estimate_here",
    "range_text",
]

FORMULAS = "tlmm-kv260"   # the description that is estimated where no accelerator in RTL is


@dataclass(frozen=True)
class RunComparison:
    """The figures of models that an earlier run has too: ``compare_runs`` of the file ``path``."""

    path: Path
    models: tuple[dict[str, Any], ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """Says so where nothing is compared."""
        if self.models:
            return ()
        return (f"{self.path} has none of these models: nothing is compared.",)


@dataclass(frozen=True)
class Estimates:
    """An estimate for each model.

    ``simulation`` has the engine's cycles in RTL, if they were asked for; ``comparison`` what
    changed since an earlier run.
    """

    results: tuple[RequestEstimate, ...]
    warnings: tuple[str, ...]
    simulation: TimedEngine | None = None
    comparison: RunComparison | None = None
    known: str = ""   # of the error on published measurements, a sentence

    @property
    def tools(self) -> dict[str, str]:
        """Versions of the tools that took part, by name."""
        return self.simulation.tools if self.simulation else {}

    def to_json(self) -> dict[str, Any]:
        """JSON values; docs/reference/report.md has the keys."""
        return report_json(self.results, self.tools, self._compared())

    def write_report(self, path: str | Path) -> None:
        """Write one HTML file. Raises ``OutputError`` if it cannot be written."""
        write_report(self.results, path, self.tools, self._compared(), self.known)

    def write_json(self, path: str | Path) -> None:
        """Write the same numbers as JSON. Raises ``OutputError`` if it cannot be written."""
        write_json(self.results, path, self.tools)

    def write_csv(self, path: str | Path) -> None:
        """Write a line for each operator. Raises ``OutputError`` if it cannot be written."""
        write_csv(self.results, Path(path))

    def write_trace(self, path: str | Path) -> None:
        """Write what runs when as a Chrome trace. Raises ``OutputError`` if it cannot be."""
        write_trace({
            f"{result.model.name}, {name}": timeline
            for result in self.results for name, timeline in result.timelines().items()
        }, Path(path))

    def _compared(self) -> tuple[dict[str, Any], ...]:
        return self.comparison.models if self.comparison else ()


@dataclass(frozen=True)
class MachineEstimates:
    """What the runtime does with each model, of ternary weights, on the machine at hand."""

    machine: Soc
    prompt: int
    results: tuple[tuple[ModelShape, RequestRates], ...]
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON values: ``prompt``, and for each model ``first_token`` and ``rate``."""
        return {"prompt": self.prompt, "runtime": [
            {"model": shape.name, "first_token": result.first_token.to_json("s"),
             "rate": result.rate.to_json("token/s")} for shape, result in self.results]}


def estimate(
    models: Model | Sequence[Model], device: str = "kv260", hardware: str | None = None,
    prompt: int = 128, tokens: int = 128, simulate: bool = False,
    compare: str | Path | None = None, progress: Progress = SILENT,
    processor: str | None = None, format: str | None = None, kv: str | None = None,
    engine: str | None = None, context: int | None = None, batch: int | None = None,
    minutes: float | None = None,
) -> Estimates:
    """Estimate time to first token, tokens/s and joules/token on a device.

    Parameters
    ----------
    models
        One or more of: a shape's name, a model folder, a .toml file, a ``ModelShape``.
    device
        A description by name, or a .toml file. ``estimate_here`` is for the machine at hand.
    hardware
        An accelerator by name, or a .toml file. The cycles of one in RTL (``kv260``, ``demo``) are
        predicted from its descriptors; others (``tlmm-kv260``) are estimated by formulas. None
        takes the device's own accelerator, and formulas where there is none or it cannot run a
        model; a warning says so.
    prompt, tokens
        Tokens of the prompt, and tokens generated after it.
    simulate
        Measure the matmuls' cycles in RTL simulation first.
    compare
        The JSON of an earlier run.
    progress
        Is told of each model, or of the simulation.
    processor
        On a SoC: ``cpu``, ``gpu`` or ``npu``. None takes the CPU, or the first one that is there.
    format
        On a SoC: how the weights are stored, by the name that files have (``q4_k_m``, ``f16``).
        None takes the checkpoint's own.
    engine
        On a SoC: what runs the model (``llama.cpp``, ``executorch``, ...). None takes the first one
        that reads the format there.
    context
        On a SoC: tokens that are in the cache before the prompt. None: 0.
    batch
        On a SoC: sequences that run together, each with its prompt. None: 1.
    minutes
        On a SoC: minutes that it has been under load, which makes a phone slower. None: 0.
    kv
        On a SoC: type of keys and values in the cache (``f16``, ``q8_0``, ``int8``). None: ``f16``.

    Raises
    ------
    EstimateError
        A description or a length is wrong, a model does not fit the device, an option has no effect
        on the device, or the simulation found wrong sums.
    CheckpointError
        There is no such model.
    """
    if device == THIS_MACHINE:
        raise EstimateError(f"{THIS_MACHINE} is estimated by estimate_here, which takes no "
                            "accelerator")
    path = None if compare is None else Path(compare)
    earlier = None if path is None else read_run(path)
    board, asked = read_device(device), [models] if isinstance(models, Model) else models
    if isinstance(board, Soc):
        refuse(board.name, {"--hardware": hardware, "--simulate": simulate},
                "which computes with the processors that it has")
        rows = _on_processor(asked, board, processor, format, kv or "f16", prompt, tokens, engine,
                             context or 0, 1 if batch is None else batch, minutes or 0.0)
        said = dict.fromkeys(line for row in rows for line in row.assumptions)
        return Estimates(tuple(rows), tuple(said), None, _compared(path, earlier, rows),
                         known_error(device, board))
    refuse(board.name, {
        "--processor": processor, "--format": format, "--kv": kv, "--engine": engine,
        "--context": context, "--batch": batch, "--minutes": minutes},
            "whose accelerator multiplies ternary weights and keeps keys and values in int8")
    found = find_shapes(asked)
    name = hardware or _usual(device, simulate)
    instead = ""   # why formulas are taken
    results: list[Estimate] | None = None
    simulation = None
    described = load_accelerator(name)
    if described.parameters is not None:
        if simulate:
            raise EstimateError(f"{name} is an accelerator in RTL, whose cycles are "
                                f"predicted: --simulate is for {FORMULAS}, or a .toml file "
                                "without a table [accelerator]")
        try:
            results = _predict(found.shapes, board, described, prompt, tokens, progress)
        except TrilobiteError as error:
            if hardware is not None:
                raise
            instead = f"By the formulas of {FORMULAS}, not by the cycle model. {error}"
            described = load_accelerator(FORMULAS)
    if results is None:
        simulation = _simulate(found.shapes, described, progress) if simulate else None
        cycles = simulation.report.measured_cycles() if simulation else {}
        try:
            results = [
                estimate_by_formulas(shape, board, described.formulas, prompt, tokens, cycles)
                for shape in found.shapes]
        except EstimateError as error:   # whose warnings nobody gets to see
            raise EstimateError(f"{instead}. {error}" if instead else str(error)) from None
    comparison = _compared(path, earlier, results)
    warnings = (*found.warnings, *([instead] if instead else []))
    return Estimates(tuple(results), warnings, simulation, comparison, known_error(device, board))


def _on_processor(
    models: Sequence[Model], soc: Soc, processor: str | None, stored: str | None, kv: str,
    prompt: int, tokens: int, engine: str | None, context: int, batch: int, minutes: float,
) -> list[ProcessorEstimate]:
    found = [find_stored(model, stored) for model in models]
    return [estimate_processor(shape, soc, processor, kept, kv, prompt, tokens, engine, context,
                               batch, minutes)
            for shape, kept in found]


def _compared(path: Path | None, earlier: dict[str, Any] | None,
              results: Sequence[RequestEstimate]) -> RunComparison | None:
    return None if path is None or earlier is None else RunComparison(
        path, tuple(compare_runs(earlier, results)))


def estimate_here(models: Model | Sequence[Model], prompt: int = 128) -> MachineEstimates:
    """Predict the runtime, with ternary weights, on the machine that ``calibrate`` measured.

    Raises
    ------
    EstimateError
        The machine has not been measured, or the prompt is empty.
    CheckpointError
        There is no such model.
    """
    if THIS_MACHINE not in own_names("devices"):
        raise EstimateError("This machine has not been measured; `trilobite calibrate` does it")
    soc = load_soc(THIS_MACHINE)
    found = find_shapes([models] if isinstance(models, Model) else models)
    return MachineEstimates(soc, prompt, tuple(
        (shape, estimate_runtime(soc, shape.config, "ternary", prompt)) for shape in found.shapes
    ), found.warnings)


def _usual(device: str, simulate: bool) -> str:
    """The device's accelerator in RTL, if it has one; the formulas' description otherwise.

    Only the formulas have a place for measured cycles of single matmuls.
    """
    return device if device in accelerator_names(whole=True) and not simulate else FORMULAS


def _predict(shapes: Sequence[ModelShape], device: Device, described: AcceleratorDescription,
             prompt: int, tokens: int, progress: Progress) -> list[Estimate]:
    """Estimates on an accelerator in RTL, its cycles predicted from its descriptors."""
    # The cycle model takes its latencies from the hardware's classes, which need the RTL tools.
    if find_spec("amaranth") is None:
        raise EstimateError(f"{described.name} is predicted from its hardware's description, which "
                            "needs Amaranth: pip install 'trilobite[rtl]'")
    from ..sim.predictions.accelerator_estimate import estimate_accelerator  # noqa: PLC0415

    progress.start(len(shapes))
    results = []
    for shape in shapes:
        progress.doing(f"Predicting {shape.name}")
        results.append(
            estimate_accelerator(shape, device, described, prompt, tokens, PartOfWork(progress)))
    return results


def _simulate(shapes: Sequence[ModelShape], described: AcceleratorDescription,
              progress: Progress) -> TimedEngine:
    """The engine's cycles for every linear's shape, which are worth something if its sums are."""
    # An estimate without a simulation must not need the RTL tools.
    from .verify import time_engine  # noqa: PLC0415

    timed = time_engine(shapes, described, progress)
    if timed.report.mismatches:
        wrong = next(row for row in timed.report.rows if row.mismatches)
        raise EstimateError(f"The simulation found wrong sums, the first ones in {wrong.name} "
                            f"({wrong.M} x {wrong.K}): its cycles mean nothing")
    return timed
