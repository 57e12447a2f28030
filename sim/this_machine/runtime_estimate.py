"""What the runtime will do with a model on a machine whose kernels' rates are known."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ...errors import EstimateError
from ...model import LINEAR_NAMES, ModelConfig
from ..descriptions.quantity import Corner
from ..descriptions.soc import Processor, Rate, Soc, in_cache
from ..formulas.cost_model import RequestRates, request_rates
from ..formulas.workload import pairs
from .calibrate_layers import (
    ATTENTION,
    ELEMENTWISE,
    PROMPT_ATTENTION,
    STEP,
    attention_operations,
    elementwise_elements,
)

__all__ = ["THIS_MACHINE", "ProcessorCosts", "estimate_runtime", "resident_bytes"]

THIS_MACHINE = "this-machine"   # what ``trilobite calibrate`` writes
_HEAD = "int8"
_BITS = {"ternary": 2, "int4": 4, "int8": 8}   # of a weight, as kernels keep it


def estimate_runtime(soc: Soc, config: ModelConfig, precision: str, prompt: int,
                     ) -> RequestRates:
    """Seconds of a prompt, and of a token after it, with int8 keys and values.

    A model whose weights and cache lie in the processor's last cache takes the rates that were
    measured there. Operations at the rate of their bucket, and their starts: the layers' linears in
    ``precision``, the head in int8 for one token, attention, elementwise work, and once what is
    around the layers: embedding, last norm, choice of a token.

    Raises
    ------
    EstimateError
        The prompt is empty, or the machine has no rate for ``precision`` or for layers.
    """
    if prompt < 1:
        raise EstimateError(f"The prompt must have at least 1 token, not {prompt}")
    return request_rates(ProcessorCosts(soc.processor("CPU"), config, precision, prompt))


def resident_bytes(config: ModelConfig, precision: str, positions: int) -> int:
    """Bytes that every decode step goes over: weights, the head in int8, int8 keys and values."""
    weights = config.num_layers * sum(M * K for M, K in map(config.linear_shape, LINEAR_NAMES))
    head = config.vocab_size * config.hidden_size
    cache = 2 * config.num_layers * config.num_kv_heads * config.head_dim * positions
    return weights * _BITS.get(precision, 8) // 8 + head + cache


@dataclass(frozen=True)
class ProcessorCosts:
    """``RequestCosts`` of a model on a processor: a prompt, and the token after it."""

    processor: Processor
    config: ModelConfig
    precision: str
    prompt: int

    @cached_property
    def cached(self) -> bool:
        """Whether all that a step goes over lies in the processor's last cache."""
        cache = self.processor.cache
        resident = resident_bytes(self.config, self.precision, self.prompt)
        return cache is not None and resident <= cache.count

    def first_token(self, corner: Corner) -> float:
        """Seconds of the prompt, until the first token is there."""
        return self.seconds(self.prompt, 0, corner)

    def per_token(self, corner: Corner) -> float:
        """Seconds of the token after it."""
        return self.seconds(1, self.prompt, corner)

    def seconds(self, tokens: int, past: int, corner: Corner) -> float:
        """``tokens`` tokens after ``past`` ones: matmuls, head, attention, elementwise work."""
        config = self.config
        linear = self._rate("matmul", self.precision)
        head = self._rate("matmul", _HEAD)
        shapes = [config.linear_shape(name) for name in LINEAR_NAMES]
        weights = sum(M * K for M, K in shapes)
        layers = [
            (linear, len(shapes), 2 * weights * tokens, tokens),
            (self._layer_rate(ELEMENTWISE, config.activation), 1,
             elementwise_elements(config) * tokens, tokens),
        ]
        work = [(self.processor.rate(STEP, "int8"), 0, 1, 1),
                (head, 1, 2 * config.vocab_size * config.hidden_size, 1)]
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
        return self._rate(operator, precision)

    def _rate(self, operator: str, precision: str) -> Rate:
        """Where the model lies in the cache, the rate there."""
        return self.processor.rate(in_cache(operator) if self.cached else operator, precision)
