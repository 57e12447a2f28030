"""Two runs side by side: an earlier report's JSON, and the estimates of now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import EstimateError
from ...tools.files import read_text_bounded
from ...tools.json_text import parse_json
from ..formulas.results import RequestEstimate
from .html import Markup, tag
from .numbers import digits, scaled

__all__ = ["compare_runs", "comparison", "read_run"]

# Figures of an estimate: label, where they are in the JSON, unit, and whether more is better.
_FIGURES = (
    ("time to first token", ("first_token",), "s", False),
    ("decode rate", ("rate",), "token/s", True),
    ("energy of a decoded token", ("decode_energy",), "J", False),
    ("mean power while decoding", ("power",), "W", False),
    ("DRAM bytes of the prefill", ("prefill", "dram_bytes"), "B", False),
    ("DRAM bytes of a decode step", ("decode", "dram_bytes"), "B", False),
)
_LARGEST_FILE = 64 << 20
_LARGEST = 1e60          # of a figure, as of its inverse
_MOST_TOKENS = 1 << 30
_EQUAL = 5e-4   # relative: less than three digits show


def read_run(path: Path) -> dict[str, Any]:
    """The JSON of an earlier ``trilobite estimate --json``.

    Raises
    ------
    EstimateError
        The file cannot be read, is larger than 64 MiB, or is no such report.
    """
    text = read_text_bounded(path, _LARGEST_FILE, EstimateError)
    try:
        run = parse_json(text)
        estimates = _at(run, ("estimates",))
        if not isinstance(estimates, list):
            raise ValueError("estimates must be a list")
        for index, estimate in enumerate(estimates):
            _check(estimate, f"estimates[{index}].")
    except (ValueError, RecursionError) as error:
        raise EstimateError(f"{path} is not the JSON of trilobite estimate: {error}") from None
    return run


def compare_runs(
    before: Mapping[str, Any], estimates: Sequence[RequestEstimate]
) -> list[dict[str, Any]]:
    """Per model of both runs: ``model``, ``before``, ``now`` (what ran), ``figures``.

    A figure has ``name``, ``unit``, ``before``, ``now`` (nominal), ``ratio`` (now over before;
    None if before is 0) and ``better`` (True, False, or None where they are equal).
    """
    earlier = {one["model"]["name"]: one for one in before["estimates"]}
    found = []
    for estimate in estimates:
        old = earlier.get(estimate.model.name)
        if old is not None:
            now = estimate.to_json()
            found.append({
                "model": estimate.model.name, "before": _setting(old), "now": _setting(now),
                "figures": [_compared(old, now, *figure) for figure in _FIGURES],
            })
    return found


def _check(estimate: Any, where: str) -> None:
    """Raise ``ValueError`` unless ``compare_runs`` can take it."""
    try:
        for key in ("model", "device", "hardware"):
            if not isinstance(_at(estimate, (key, "name")), str):
                raise ValueError(f"{key}.name must be text")
        for key in ("prompt", "tokens"):
            count = _at(estimate, (key,))
            if type(count) is not int or not 0 <= count <= _MOST_TOKENS:
                raise ValueError(f"{key} must be a whole number from 0 to {_MOST_TOKENS}")
        for _, place, _, _ in _FIGURES:
            _figure(estimate, place)
    except ValueError as error:
        raise ValueError(f"{where}{error}") from None


def _at(value: Any, place: tuple[str, ...]) -> Any:
    """What is at ``place`` in objects within each other; ``ValueError`` if there is nothing."""
    for depth, key in enumerate(place):
        if not isinstance(value, Mapping):
            raise ValueError(f"{'.'.join(place[:depth]) or 'it'} must be an object")
        if key not in value:
            raise ValueError(f"{'.'.join(place[:depth + 1])} is missing")
        value = value[key]
    return value


def _figure(estimate: Mapping[str, Any], place: tuple[str, ...]) -> float:
    value, name = _at(estimate, place), ".".join(place)
    number = _at(value, ("nominal",)) if isinstance(value, Mapping) else value
    if type(number) not in (int, float):
        raise ValueError(f"{name} must be a number, not {type(number).__name__}")
    if number and not 1 / _LARGEST <= number <= _LARGEST:
        said = number if isinstance(number, float) else "an integer beyond that"
        raise ValueError(f"{name} is {said}; it must be 0, or from {1 / _LARGEST:g} to "
                         f"{_LARGEST:g}")
    return float(number)


def _setting(estimate: Mapping[str, Any]) -> str:
    return (f"{estimate['hardware']['name']} on {estimate['device']['name']}, prompt "
            f"{estimate['prompt']}, {estimate['tokens']} tokens")


def _compared(
    old: Mapping[str, Any], now: Mapping[str, Any], name: str, place: tuple[str, ...], unit: str,
    more: bool,
) -> dict[str, Any]:
    before, after = _figure(old, place), _figure(now, place)
    ratio = after / before if before else None
    better = None
    if ratio is None or abs(ratio - 1) > _EQUAL:
        better = (after > before) == more
    return {"name": name, "unit": unit, "before": before, "now": after, "ratio": ratio,
            "better": better}


def comparison(compared: Sequence[Mapping[str, Any]]) -> Markup | str:
    """The section; nothing if nothing is compared."""
    if not compared:
        return ""
    return tag("section", tag("h2", "Compared with the earlier run"), [
        [tag("h3", one["model"]),
         tag("p", f"Before: {one['before']}. Now: {one['now']}.", class_="lead"),
         tag("div", _table(one["figures"]), class_="scroll")] for one in compared])


def _table(figures: Sequence[Mapping[str, Any]]) -> Markup:
    rows = []
    for one in figures:
        factor, unit = scaled(one["before"] or one["now"], one["unit"])
        ratio = "–" if one["ratio"] is None else f"{100 * (one['ratio'] - 1):+.1f} %"
        said = {True: "better", False: "worse", None: "equal"}[one["better"]]
        rows.append(tag(
            "tr", tag("th", one["name"], scope="row"),
            tag("td", f"{digits(one['before'] * factor)} {unit}", class_="number"),
            tag("td", f"{digits(one['now'] * factor)} {unit}", class_="number"),
            tag("td", ratio, class_="number"), tag("td", said, class_=f"verdict {said}")))
    heads = [tag("th", ""), *(tag("th", name, class_="number") for name in (
        "before", "now", "change")), tag("th", "")]
    return tag("table", tag("thead", tag("tr", heads)), tag("tbody", rows), class_="versus")
