"""What the runtime will do with a model on a machine whose kernels' rates are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..errors import EstimateError
from ..model import LINEAR_NAMES, ModelConfig
from .calibrate_layers import (
    ATTENTION,
    ELEMENTWISE,
    PROMPT_ATTENTION,
    attention_operations,
    elementwise_elements,
)
from .quantity import Corner, Range
from .soc import Processor, Rate, Soc
from .workload import pairs

__all__ = ["THIS_MACHINE", "RuntimeEstimate", "estimate_runtime"]

THIS_MACHINE = "this-machine"   # what ``trilobite calibrate`` writes
_HEAD = "int8"


@dataclass(frozen=True)
class RuntimeEstimate:
    """Seconds to the first token, and tokens per second after it."""

    first_token: Range
    rate: Range


def estimate_runtime(soc: Soc, config: ModelConfig, precision: str, prompt: int,
                     ) -> RuntimeEstimate:
    """Seconds of a prompt, and of a token after it, with int8 keys and values.

    Operations at the rate of their bucket, and their starts: the layers' linears in ``precision``,
    the head in int8 for one token, attention, and elementwise work. The embedding, the last norm
    and the choice of a token are left out.

    Raises
    ------
    EstimateError
        The prompt is empty, or the machine has no rate for ``precision`` or for layers.
    """
    if prompt < 1:
        raise EstimateError(f"The prompt must have at least 1 token, not {prompt}")
    step = _Step(soc.processor("CPU"), config, precision)

    def ranged(value: Callable[[Corner], float]) -> Range:
        return Range.of({corner: value(corner) for corner in Corner})

    return RuntimeEstimate(
        ranged(lambda corner: step.seconds(prompt, 0, corner)),
        ranged(lambda corner: 1 / step.seconds(1, prompt, corner)),
    )


@dataclass(frozen=True)
class _Step:
    """Steps of a model on a processor."""

    processor: Processor
    config: ModelConfig
    precision: str

    def seconds(self, tokens: int, past: int, corner: Corner) -> float:
        """``tokens`` tokens after ``past`` ones: matmuls, head, attention, elementwise work."""
        config = self.config
        linear = self.processor.rate("matmul", self.precision)
        head = self.processor.rate("matmul", _HEAD)
        shapes = [config.linear_shape(name) for name in LINEAR_NAMES]
        weights = sum(M * K for M, K in shapes)
        layers = [
            (linear, len(shapes), 2 * weights * tokens, tokens),
            (self._layer_rate(ELEMENTWISE, config.activation), 1,
             elementwise_elements(config) * tokens, tokens),
        ]
        work = [(head, 1, 2 * config.vocab_size * config.hidden_size, 1)]
        work += config.num_layers * layers
        work += [self._attention(layer, tokens, past) for layer in range(config.num_layers)]
        return sum(1e-6 * calls * rate.start.cost(corner) + rate.seconds(operations, bucket, corner)
                   for rate, calls, operations, bucket in work)

    def _attention(self, layer: int, tokens: int, past: int) -> tuple[Rate, int, int, int]:
        """Rate, calls, operations and bucket of a layer's attention."""
        visible = pairs(tokens, past, self.config.window(layer))
        operator = ATTENTION if tokens == 1 else PROMPT_ATTENTION
        return (self._layer_rate(operator, "int8"), 1, attention_operations(self.config, visible),
                visible if tokens == 1 else tokens)

    def _layer_rate(self, operator: str, precision: str) -> Rate:
        """A rate that descriptions have since layers are measured."""
        if operator not in {rate.operator for rate in self.processor.rates}:
            raise EstimateError(f"The description has no rate for {operator}; run `trilobite "
                                "calibrate` again")
        return self.processor.rate(operator, precision)
