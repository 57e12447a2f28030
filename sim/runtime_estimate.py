"""What the runtime will do with a model on a machine whose kernels' rates are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..errors import EstimateError
from ..model import LINEAR_NAMES, ModelConfig
from .quantity import Corner, Range
from .soc import Soc

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
    """Seconds of the matmuls: operations at the rate of their bucket of tokens, and their starts.

    The layers' linears run in ``precision``, the head in int8 for one token. Attention, norms and
    what else is not a matmul are left out.

    Raises
    ------
    EstimateError
        The prompt is empty, or the machine has no rate for ``precision``.
    """
    if prompt < 1:
        raise EstimateError(f"The prompt must have at least 1 token, not {prompt}")
    processor = soc.processor("CPU")
    linear, head = processor.rate("matmul", precision), processor.rate("matmul", _HEAD)
    shapes = [config.linear_shape(name) for name in LINEAR_NAMES]
    weights = config.num_layers * sum(M * K for M, K in shapes)
    vocabulary = config.vocab_size * config.hidden_size

    def seconds(tokens: int, corner: Corner) -> float:
        starts = config.num_layers * len(shapes) * linear.start.cost(corner)
        return (linear.seconds(2 * weights * tokens, tokens, corner)
                + head.seconds(2 * vocabulary, 1, corner)
                + 1e-6 * (starts + head.start.cost(corner)))

    def ranged(value: Callable[[Corner], float]) -> Range:
        return Range.of({corner: value(corner) for corner in Corner})

    return RuntimeEstimate(ranged(lambda corner: seconds(prompt, corner)),
                           ranged(lambda corner: 1 / seconds(1, corner)))
