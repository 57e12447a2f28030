"""Whether a calibration text reached all experts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["FEW_TOKENS", "starved_experts"]

FEW_TOKENS = 128   # fewer say next to nothing of the moments of a thousand columns
_NAMED = 16        # experts that a warning names


def starved_experts(tokens_per_expert: Mapping[int, Sequence[int]]) -> list[str]:
    """A sentence if fewer than ``FEW_TOKENS`` tokens went to some experts; it names the first.

    ``tokens_per_expert`` has the counts of each layer by its number.
    """
    few = [(layer, expert, count) for layer, counts in tokens_per_expert.items()
           for expert, count in enumerate(counts) if count < FEW_TOKENS]
    if not few:
        return []
    named = ", ".join(f"model.layers.{layer}.mlp.experts.{expert} ({count})"
                      for layer, expert, count in few[:_NAMED])
    more = f" and {len(few) - _NAMED} more" if len(few) > _NAMED else ""
    total = sum(map(len, tokens_per_expert.values()))
    return [
        f"{len(few)} of {total} experts got fewer than {FEW_TOKENS} tokens of the calibration "
        f"text, so that their weights are little better than rounded: {named}{more}. More text "
        "(--calibration FILE), or text more like what the model will read, helps"
    ]
