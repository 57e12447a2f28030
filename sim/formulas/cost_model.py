"""What an estimate asks of a cost model: formulas, the cycle model and processors each are one.

A cost model is of one request: a prompt, then tokens one by one. ``RequestCosts`` is what every
device has; ``AcceleratorCosts`` is what a report shows of an accelerator besides. Nothing else is
known of a model where estimates are assembled and reported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from ..descriptions.device import Device
from ..descriptions.formula_accelerator import Budget, EngineConstants, Host
from ..descriptions.quantity import Corner, Quantity, Range
from ..descriptions.shapes import ModelShape
from ..events import Timeline
from .cycle_source import CycleSource
from .energy import Energy, Powered
from .phase_results import OperatorCost

__all__ = ["AcceleratorCosts", "EstimatedAccelerator", "RequestCosts", "RequestRates", "StepCosts",
           "request_rates"]


class RequestCosts(Protocol):
    """Seconds of a request, at each corner of all constants."""

    def first_token(self, corner: Corner) -> float:
        """Seconds of the prompt, until the first token is there."""
        ...

    def per_token(self, corner: Corner) -> float:
        """Mean seconds of a token after the first one."""
        ...


@dataclass(frozen=True)
class RequestRates:
    """Seconds to the first token, seconds of a later one, and later tokens per second."""

    first_token: Range
    per_token: Range
    rate: Range


def request_rates(costs: RequestCosts) -> RequestRates:
    """What follows from any cost model."""
    seconds = {corner: costs.per_token(corner) for corner in Corner}
    return RequestRates(
        Range.at_corners(costs.first_token), Range.of(seconds),
        Range.of({corner: 1 / value for corner, value in seconds.items()}))


@dataclass(frozen=True)
class StepCosts:
    """The prefill, or one decode step: its operators, and seconds and joules at each corner.

    ``context``: positions in the cache after it.
    """

    tokens: int
    context: int
    operators: tuple[OperatorCost, ...]
    seconds: Mapping[Corner, float]
    energies: Mapping[Corner, Energy]


class _Clock(Protocol):
    @property
    def frequency(self) -> Quantity: ...


class _Integer(Protocol):
    @property
    def lanes(self) -> Quantity: ...


class EstimatedAccelerator(Protocol):
    """What reports show of an accelerator: a dataclass of groups of constants, and these."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def name(self) -> str:
        """What reports call it."""
        ...

    @property
    def tlmm(self) -> EngineConstants:
        """The engine."""
        ...

    @property
    def clock(self) -> _Clock:
        """The fabric's clock."""
        ...

    @property
    def integer(self) -> _Integer:
        """Integer dot products that are not ternary."""
        ...

    @property
    def host(self) -> Host:
        """The processor's part."""
        ...

    def budget(self, device: Device) -> tuple[Budget, ...]:
        """What the sized parts take of ``device``."""
        ...


class AcceleratorCosts(RequestCosts, Protocol):
    """What a request costs on an accelerator."""

    @property
    def model(self) -> ModelShape:
        """What runs."""
        ...

    @property
    def device(self) -> Device:
        """What it runs on."""
        ...

    @property
    def hardware(self) -> EstimatedAccelerator:
        """The accelerator on the device."""
        ...

    @property
    def cycles(self) -> CycleSource:
        """Where the accelerator's cycles come from."""
        ...

    @property
    def prompt(self) -> int:
        """Tokens of the prompt."""
        ...

    @property
    def tokens(self) -> int:
        """Tokens generated after it, at least 2: the first comes out of the prefill."""
        ...

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weights in DRAM."""
        ...

    @property
    def kv_bytes_per_position(self) -> int:
        """Bytes of keys and values of one position, all layers."""
        ...

    @property
    def contexts(self) -> Sequence[int]:
        """The contexts for which the report draws a decode rate."""
        ...

    @property
    def supplies(self) -> Mapping[Corner, Powered]:
        """What draws power, at each corner."""
        ...

    @property
    def engine_rate(self) -> float:
        """Ternary multiply-accumulates per second of an engine that never waits, nominal."""
        ...

    @property
    def prefill(self) -> StepCosts:
        """The step of the prompt."""
        ...

    @property
    def decode(self) -> StepCosts:
        """The decode step in the middle of the generation."""
        ...

    def token_energy(self, corner: Corner) -> Energy:
        """Mean joules of a token after the first one."""
        ...

    def decode_seconds(self, context: int, corner: Corner) -> float:
        """Seconds of a decode step with ``context`` positions in the cache."""
        ...

    def host_time(self, corner: Corner) -> float:
        """Seconds that a processor takes for each generated token."""
        ...

    def timelines(self) -> dict[str, Timeline]:
        """What runs when in ``prefill`` and in ``decode``, at nominal constants."""
        ...
