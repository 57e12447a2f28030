"""What the accelerator counts of itself, by name. Plain Python."""

from __future__ import annotations

from .descriptors import Operation

__all__ = ["COUNTERS", "WIDTH"]

WIDTH = 40   # bits of a counter

# By name, what adds one in a cycle.
COUNTERS: dict[str, str] = {
    "cycles": "a run is under way",
    **{f"{operation.name.lower()}_cycles": f"a {operation.name} is being done"
       for operation in Operation if operation != Operation.END},
    "read_words": "a word came from memory",
    "write_words": "a word went to memory",
    "memory_waits": "words were asked for and none came",
    "weight_beats": "the matmul engine took a beat of weights",
    "engine_waits": "a MATMUL was being done and the engine took no weights",
    "table_passes": "the matmul engine took activations for its tables",
    "attention_words": "attention took a word of the cache",
    "head_words": "the head took a word of the vocabulary",
    "tokens": "a token was chosen",
}
