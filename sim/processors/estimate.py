"""The estimate of a request on a processor of a SoC."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from ..descriptions.quantity import Corner, Range
from ..descriptions.shapes import ModelShape
from ..descriptions.soc import Processor, Rate, Soc
from ..events import Timeline
from ..formulas.cost_model import StepCosts, request_rates
from ..formulas.energy import PARTS
from ..formulas.phase_results import PhaseEstimate, shares
from ..formulas.results import ContextPoint, RequestEstimate
from .costs import ProcessorRequest
from .engines import Engine, choose_engine
from .rates import choose_processor, rate_assumption
from .stored_format import StoredFormat

__all__ = ["ProcessorEstimate", "estimate_processor"]


@dataclass(frozen=True)
class ProcessorEstimate(RequestEstimate):
    """Everything that is reported about one model on one processor.

    ``needed_bytes``: weights, and the caches at the request's end. With a ``batch``, ``rate`` is of
    all sequences together, ``per_token`` a step of them, and joules are one sequence's. ``context``
    and ``minutes`` as in ``ProcessorRequest``. ``assumptions``: what the figures
    rest on beyond the constants, a sentence each.
    """

    soc: Soc
    processor: Processor
    rate_used: Rate
    stored: StoredFormat
    kv: str
    engine: Engine | None
    context: int
    batch: int
    minutes: float
    needed_bytes: int
    assumptions: tuple[str, ...]
    costs: ProcessorRequest = field(repr=False, compare=False)

    @property
    def device_name(self) -> str:
        """What the SoC is called."""
        return self.soc.name

    @property
    def hardware_name(self) -> str:
        """Processor, stored format and engine."""
        engine = f", {self.engine.name}" if self.engine else ""
        return f"{self.processor.name}, {self.stored.name}{engine}"

    @property
    def host_kind(self) -> None:
        """No host takes part."""
        return

    @property
    def clock(self) -> None:
        """No clock is described."""
        return

    @property
    def energy_kinds(self) -> dict[str, str]:
        """How the constant behind each part of the energy was obtained."""
        return {"static": self.soc.power.idle.kind, "active": self.processor.power.kind,
                "compute": self.processor.power.kind, "dram": self.soc.dram.energy.kind}

    def timelines(self) -> dict[str, Timeline]:
        """What runs when in ``prefill`` and in ``decode``, at nominal constants."""
        return self.costs.timelines()

    def to_json(self) -> dict[str, Any]:
        """All of it, with units; the keys are documented in docs/reference/report.md."""
        return super().to_json() | {
            "published": [],
            "device": dataclasses.asdict(self.soc),
            "hardware": {"name": self.hardware_name, "processor": self.processor.name,
                         "kind": self.processor.kind, "format": self.stored.name,
                         "engine": self.engine and self.engine.name,
                         "kv": self.kv, "rate": dataclasses.asdict(self.rate_used)},
            "context_before": self.context, "batch": self.batch, "minutes": self.minutes,
            "memory": {"needed": self.needed_bytes, "capacity": self.soc.dram.capacity.count},
            "assumptions": list(self.assumptions),
        }


def estimate_processor(
    model: ModelShape, soc: Soc, kind: str | None, stored: StoredFormat, kv: str, prompt: int,
    tokens: int, engine: str | None = None, context: int = 0, batch: int = 1, minutes: float = 0.0,
) -> ProcessorEstimate:
    """Estimate a request on the processor of ``kind`` (``cpu``, ``gpu``, ``npu``; None: the CPU).

    ``context``, ``batch`` and ``minutes``: see ``ProcessorRequest``. ``engine``: by its name; None
    takes the first of ``engines()`` that runs the format there.

    Raises
    ------
    EstimateError
        There is no such processor, the engine does not run the format there, or
        ``ProcessorRequest`` refuses the request.
    """
    processor = choose_processor(soc, kind)
    chosen = choose_engine(soc, processor, stored, engine)
    costs = ProcessorRequest(soc, processor, model, stored, kv, prompt, tokens, chosen,
                             context, batch, minutes)
    rates = request_rates(costs)
    prefill, decode = costs.prefill, costs.decode
    energies = decode.energies
    return ProcessorEstimate(
        model=model, prompt=prompt, tokens=tokens,
        first_token=rates.first_token,
        rate=Range.at_corners(lambda corner: batch / decode.seconds[corner]),
        per_token=rates.per_token,
        decode_joules=Range.at_corners(lambda corner: energies[corner].total / batch),
        request_joules=Range.at_corners(
            lambda corner: (prefill.energies[corner].total
                            + (tokens - 1) * energies[corner].total) / batch),
        power=Range.at_corners(
            lambda corner: energies[corner].standing / decode.seconds[corner]
            + energies[corner].working / decode.seconds[corner.opposite]),
        weight_bytes=costs.weight_bytes, kv_bytes_per_position=costs.kv_bytes_per_position,
        prefill=_phase(costs, prefill), decode=_phase(costs, decode), curve=_curve(costs),
        soc=soc, processor=processor, rate_used=costs.rate, stored=stored, kv=kv, engine=chosen,
        context=context, batch=batch, minutes=minutes,
        needed_bytes=costs.needed_bytes, assumptions=_assumptions(costs), costs=costs)


def _assumptions(costs: ProcessorRequest) -> tuple[str, ...]:
    found = []
    if said := rate_assumption(costs.processor, costs.stored.precision):
        found.append(f"{costs.soc.name}: {said}.")
    found += _of_engine(costs)
    if costs.minutes:
        left = 1 / costs.slowdown[Corner.NOMINAL]
        found.append(f"After {costs.minutes:g} minutes of load, {left:.0%} of a cool device's "
                     "rates are left.")
    return tuple(found)


def _of_engine(costs: ProcessorRequest) -> list[str]:
    """What the fit did not know of the engine on this processor."""
    known, where = costs.shares.evidence, f"the {costs.processor.name} of {costs.soc.name}"
    if costs.engine is None:
        return [f"No engine is known that runs {costs.stored.name} on {where}: one of the mean "
                "efficiency of such processors is taken."]
    if known == "engine":
        return []
    others = "by other engines" if known == "processor" else "of other devices"
    return [f"{costs.engine.name} on {where} was not measured where constants are fitted: what it "
            f"reaches follows from measurements {others}."]


def _phase(costs: ProcessorRequest, step: StepCosts) -> PhaseEstimate:
    """One step, as the report shows it."""
    seconds, operators = Range.at_corners(step.seconds.__getitem__), step.operators
    moved = sum(cost.bytes for cost in operators)
    operations = sum(2 * cost.operator.count * cost.operator.macs for cost in operators)
    peak = costs.rate.peak.nominal * 1e12
    return PhaseEstimate(
        tokens=step.tokens, context=step.context, operators=operators, host=Range(0.0, 0.0, 0.0),
        time=seconds,
        energy={part: Range.of({corner: getattr(step.energies[corner], part) for corner in Corner})
                for part in (*PARTS, "total")},
        dram_bytes=moved,
        bandwidth_used=moved / seconds.nominal / (costs.soc.dram.peak.nominal * 1e9),
        engine_used=operations / seconds.nominal / peak,
        waits=shares((cost.waits_for, cost.time.nominal) for cost in operators),
        obtained=shares((cost.obtained, cost.time.nominal) for cost in operators),
    )


def _curve(costs: ProcessorRequest) -> tuple[ContextPoint, ...]:
    """Decode rates over the context."""
    return tuple(ContextPoint(context, Range.at_corners(
        lambda corner, context=context: costs.batch / costs.decode_seconds(context, corner)))   # type: ignore[misc]
        for context in costs.contexts)
