"""An estimate of what a cost model says, whichever it is.

Results are ``Range``s: the nominal value, and the values with all constants at their best and at
their worst.
"""

from __future__ import annotations

from ..descriptions.quantity import Corner, Range
from .cost_model import AcceleratorCosts, StepCosts, request_rates
from .energy import PARTS
from .phase_results import PhaseEstimate, shares
from .published import compare
from .results import ContextPoint, Estimate

__all__ = ["assemble_estimate"]


def assemble_estimate(costs: AcceleratorCosts) -> Estimate:
    """Everything that is reported of a request."""
    rates = request_rates(costs)
    seconds = {corner: costs.per_token(corner) for corner in Corner}
    energies = {corner: costs.token_energy(corner) for corner in Corner}
    prefill, later = costs.prefill, costs.tokens - 1
    return Estimate(
        model=costs.model, device=costs.device, hardware=costs.hardware, cycles=costs.cycles,
        prompt=costs.prompt, tokens=costs.tokens,
        first_token=rates.first_token, rate=rates.rate, per_token=rates.per_token,
        decode_joules=Range.at_corners(lambda corner: energies[corner].total),
        request_joules=Range.at_corners(
            lambda corner: prefill.energies[corner].total + later * energies[corner].total),
        # Power is highest when costly work is done in little time.
        power=Range.at_corners(
            lambda corner: energies[corner].standing / seconds[corner]
            + energies[corner].working / seconds[corner.opposite]),
        prefill=_phase(costs, prefill), decode=_phase(costs, costs.decode), curve=_curve(costs),
        weight_bytes=costs.weight_bytes, kv_bytes_per_position=costs.kv_bytes_per_position,
        comparisons=compare(costs.supplies, costs.model), costs=costs,
    )


def _phase(costs: AcceleratorCosts, step: StepCosts) -> PhaseEstimate:
    """One step, as the report shows it."""
    seconds, operators = Range.at_corners(step.seconds.__getitem__), step.operators
    moved = sum(cost.bytes for cost in operators)
    ternary = sum(cost.operator.count * cost.operator.macs for cost in operators
                  if cost.operator.unit == "tlmm")
    host = Range.at_corners(costs.host_time)
    waits: list[tuple[str, float]] = [(cost.waits_for, cost.time.nominal) for cost in operators]
    obtained = [(cost.obtained, cost.time.nominal) for cost in operators]
    if host.nominal:
        waits.append(("host", host.nominal))
        obtained.append((costs.hardware.host.token.kind, host.nominal))
    return PhaseEstimate(
        tokens=step.tokens, context=step.context, operators=operators, host=host, time=seconds,
        energy={
            part: Range.of({corner: getattr(step.energies[corner], part) for corner in Corner})
            for part in (*PARTS, "total")
        },
        dram_bytes=moved,
        bandwidth_used=moved / seconds.nominal / (costs.device.dram.peak.nominal * 1e9),
        engine_used=ternary / seconds.nominal / costs.engine_rate,
        waits=shares(waits), obtained=shares(obtained),
    )


def _curve(costs: AcceleratorCosts) -> tuple[ContextPoint, ...]:
    """Decode rates over the context."""
    return tuple(ContextPoint(context, Range.of({
        corner: 1 / costs.decode_seconds(context, corner) for corner in Corner
    })) for context in costs.contexts)
