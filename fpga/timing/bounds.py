"""The depth of logic that each block of a configuration may have, from ``bounds.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

from ..accelerator_parameters import AcceleratorParameters

__all__ = ["level_bounds", "reduced"]

_FILE = Path(__file__).with_name("bounds.toml")


def level_bounds(configuration: str, kind: str) -> dict[str, int]:
    """The most levels of logic by block.

    ``kind`` is ``estimated``, as ``depth.logic_depth`` counts them with ``reduced`` parameters, or
    ``mapped``, as ``BlockTiming.deepest`` does.
    """
    return dict(tomllib.loads(_FILE.read_text())[configuration][kind])


def reduced(parameters: AcceleratorParameters) -> AcceleratorParameters:
    """The parameters with one query lane and a small engine: the same logic, fewer times."""
    return replace(parameters, queries=1, scale_lanes=min(parameters.scale_lanes, 4),
                   tlmm=replace(parameters.tlmm, columns=4, tables=4))
