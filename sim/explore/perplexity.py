"""Perplexities that the runtime measured, by format of weights and of the cache."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from ...errors import EstimateError
from ...tools.files import read_text_bounded

__all__ = ["MEASURED", "Perplexities", "load_perplexities"]

MEASURED = Path(__file__).with_name("perplexities.toml")


_LARGEST_FILE = 1 << 20   # bytes


@dataclass(frozen=True)
class Perplexities:
    """What ``model`` has over ``tokens`` tokens; ``values`` by (format, bits of the cache)."""

    model: str
    tokens: int
    values: dict[tuple[str, int], float]

    def of(self, form: str, kv_bits: int) -> float:
        """The one of weights in ``form`` with keys and values of ``kv_bits``.

        Raises
        ------
        EstimateError
            It was not measured.
        """
        try:
            return self.values[form, kv_bits]
        except KeyError:
            raise EstimateError(f"the perplexity of {self.model} in {form} with keys and values of "
                                f"{kv_bits} bits was not measured") from None


def load_perplexities(path: Path = MEASURED) -> dict[str, Perplexities]:
    """What ``benchmarks/explored_formats.py`` wrote to ``path``, by model.

    Raises
    ------
    EstimateError
        The file cannot be read, or does not hold what it must.
    """
    text = read_text_bounded(path, _LARGEST_FILE, EstimateError)
    try:
        models = tomllib.loads(text)["model"]
        found = {
            str(model["name"]): Perplexities(str(model["name"]), int(model["tokens"]), {
                (str(row["format"]), int(row["cache"].removeprefix("int"))):
                    float(row["perplexity"]) for row in model["rows"]
            }) for model in models
        }
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError,
            RecursionError) as error:
        raise EstimateError(f"{path} does not hold measured perplexities: {error}") from None
    for one in found.values():
        if not all(1 <= value < float("inf") for value in one.values.values()):
            raise EstimateError(f"{path}: a perplexity of {one.model} is below 1 or not finite")
    return found
