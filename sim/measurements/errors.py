"""Every measurement beside what is estimated for it, and the errors of a device in a few words."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from ...errors import EstimateError
from ..descriptions.quantity import Corner, Range
from ..descriptions.shapes import load_shape
from ..descriptions.soc import load_soc
from ..descriptions.tables import bundled_names
from ..processors.costs import ProcessorRequest
from ..processors.engines import engine_called
from ..processors.estimate import estimate_processor
from ..processors.rates import choose_processor
from ..processors.stored_format import stored_format
from .rows import Measurement, measurements

__all__ = ["Apart", "Compared", "compare_all", "compare_device", "error_sentence",
           "sources_apart", "spread"]

_CACHE = "f16"


@dataclass(frozen=True)
class Compared:
    """A measurement, and what is estimated for it; None where it cannot be, which ``why`` says."""

    measured: Measurement
    predicted: Range | None
    why: str = ""

    @property
    def error(self) -> float | None:
        """Nominal over measured, less 1."""
        return None if self.predicted is None else (
            self.predicted.nominal / self.measured.value - 1)

    @property
    def is_inside(self) -> bool:
        """Whether the measured value lies within the range."""
        return self.predicted is not None and (
            self.predicted.low <= self.measured.value <= self.predicted.high)


@dataclass(frozen=True)
class Apart:
    """Values that were published of the same model, format, phase and processor.

    No estimate that has one value for all of them is nearer to them than ``median`` and ``worst``:
    the relative distances from their geometric mean.
    """

    device: str
    phase: str
    rows: int
    median: float
    worst: float


def sources_apart() -> list[Apart]:
    """How far published values lie apart, by device and phase."""
    same: dict[tuple[str, ...], list[float]] = {}
    for row in measurements():
        length = str(row.prompt or row.context)
        same.setdefault((row.device, row.phase, row.processor, row.model, row.format, length),
                        []).append(row.value)
    apart: dict[tuple[str, str], list[float]] = {}
    for (device, phase, *_), values in same.items():
        if len(values) > 1:
            middle = statistics.geometric_mean(values)
            apart.setdefault((device, phase), []).extend(
                max(value / middle, middle / value) - 1 for value in values)
    return [Apart(device, phase, len(far), statistics.median(far), max(far))
            for (device, phase), far in apart.items()]


@cache
def compare_device(device: str) -> tuple[Compared, ...]:
    """All measurements on the bundled device of that name."""
    return tuple(_compare(row) for row in measurements() if row.device == device)


def compare_all() -> list[Compared]:
    """All measurements, by device."""
    devices = dict.fromkeys(row.device for row in measurements())
    return [one for device in devices for one in compare_device(device)]


def spread(compared: Iterable[Compared]) -> tuple[int, float, float] | None:
    """Rows with an estimate, median and worst of their absolute errors; None if there are none."""
    errors = [abs(one.error) for one in compared if one.error is not None]
    return (len(errors), statistics.median(errors), max(errors)) if errors else None


def error_sentence(device: str) -> str:
    """What is known of the error of estimates on a device: of held-out rows where there are any."""
    rows: Sequence[Compared] = compare_device(device)
    if not rows:
        return "There are no published measurements to compare estimates of this device with."
    held = any(one.measured.is_held_out for one in rows)
    parts = []
    for phases, name in ((("decode",), "decode"), (("prefill", "first-token"), "prefill"),
                         (("power",), "power")):
        found = spread(one for one in rows if one.measured.phase in phases
                       and one.measured.is_held_out == held)
        if found:
            count, middle, worst = found
            parts.append(f"{name} {middle:.0%}, worst {worst:.0%} ({count} rows)")
    which = "held-out" if held else "published"
    end = "" if held else " None is held out: constants may be fitted to these."
    return f"Median error on {which} measurements: {'; '.join(parts)}.{end}"


def _compare(row: Measurement) -> Compared:
    try:
        return Compared(row, _predict(row))
    except EstimateError as error:
        return Compared(row, None, str(error))


def _predict(row: Measurement) -> Range:
    if row.device not in bundled_names("devices"):
        raise EstimateError(f"{row.device} is not described")
    soc, model, stored = load_soc(row.device), load_shape(row.model), stored_format(row.format)
    engine = engine_called(row.engine)
    if row.phase == "power":
        return estimate_processor(model, soc, row.processor, stored, _CACHE, row.context, 2,
                                  engine.name if engine else None).power
    prompt = row.prompt or row.context
    costs = ProcessorRequest(soc, choose_processor(soc, row.processor), model, stored, _CACHE,
                             prompt, 2, engine)
    if row.phase == "decode":
        return Range.of({corner: 1 / costs.decode_seconds(row.context, corner)
                         for corner in Corner})
    seconds = {corner: costs.first_token(corner) for corner in Corner}
    return Range.of(seconds if row.phase == "first-token" else {
        corner: prompt / value for corner, value in seconds.items()})
