"""Perplexities that the runtime measured, by format of weights and of the cache."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import EstimateError
from ...tools.files import read_text_bounded
from ..descriptions.tables import require
from ..descriptions.toml_text import parse_toml

__all__ = ["MEASURED", "Perplexities", "load_perplexities"]

MEASURED = Path(__file__).with_name("perplexities.toml")

_LARGEST_FILE = 1 << 20   # bytes
_CACHE = re.compile(r"int(\d{1,2})")


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
    table = parse_toml(read_text_bounded(path, _LARGEST_FILE, EstimateError), str(path))
    models = _tables(table, "model", str(path))
    found = (_model(model, f"{path}: model[{index}]") for index, model in enumerate(models))
    return {one.model: one for one in found}


def _model(model: dict[str, Any], where: str) -> Perplexities:
    name, tokens = _value(model, "name", str, where), _value(model, "tokens", int, where)
    values: dict[tuple[str, int], float] = {}
    for index, row in enumerate(_tables(model, "rows", where)):
        place = f"{where}: rows[{index}]"
        bits = _CACHE.fullmatch(cache := _value(row, "cache", str, place))
        if bits is None:
            raise EstimateError(f"{place}: cache must be int8 or the like, not {cache[:40]!r}")
        measured = _value(row, "perplexity", float, place)
        if not 1 <= measured < math.inf:
            raise EstimateError(f"{place}: perplexity is {measured}; it must be from 1, and finite")
        values[_value(row, "format", str, place), int(bits[1])] = measured
    return Perplexities(name, tokens, values)


def _tables(table: dict[str, Any], key: str, where: str) -> list[dict[str, Any]]:
    rows = require(table.get(key), list, f"{where}: {key}")
    return [require(row, dict, f"{where}: {key}[{index}]") for index, row in enumerate(rows)]


def _value(table: dict[str, Any], key: str, kind: type, where: str) -> Any:
    value = table.get(key)
    return require(float(value) if kind is float and type(value) is int else value, kind,
                   f"{where}: {key}")
