"""From a checkpoint to a quantized folder, one row block at a time; an interrupted run resumes."""

from .pipeline import NOT_TRAINED_TERNARY, estimate_memory, quantize

__all__ = ["NOT_TRAINED_TERNARY", "estimate_memory", "quantize"]
