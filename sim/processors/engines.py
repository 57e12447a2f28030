"""Engines: which of them runs a stored format on a processor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ...errors import EstimateError
from ..descriptions.soc import Processor, Soc
from ..descriptions.tables import build_description
from ..descriptions.toml_text import parse_toml
from .stored_format import StoredFormat

__all__ = ["Engine", "choose_engine", "engine_called", "engine_names", "engines"]

_FILE = Path(__file__).with_name("engines.toml")


@dataclass(frozen=True)
class Engine:
    """A program that runs models, as far as estimates go.

    ``kinds`` and ``families`` of processors that it runs on (no family: all of them), ``formats``
    that it reads, and what sources call it, each by its first words. ``chunk``: tokens of a part in
    which a longer prompt goes through the model; 0: whole.
    """

    name: str
    kinds: tuple[str, ...]
    families: tuple[str, ...]
    formats: tuple[str, ...]
    called: tuple[str, ...]
    chunk: int = 0

    def runs_on(self, processor: Processor) -> bool:
        """Whether there is a version of it for ``processor``."""
        return processor.kind in self.kinds and (
            not self.families or processor.family in self.families)

    def runs(self, processor: Processor, stored: StoredFormat) -> bool:
        """Whether it multiplies ``stored`` on ``processor``."""
        return self.runs_on(processor) and stored.name in self.formats


@cache
def engines() -> tuple[Engine, ...]:
    """All engines, in the order in which they are preferred."""
    data = parse_toml(_FILE.read_text(encoding="utf-8"), str(_FILE))
    return tuple(build_description(Engine, one, f"{_FILE}: engines[{index}]")
                 for index, one in enumerate(data["engines"]))


def engine_names() -> list[str]:
    """What ``--engine`` takes."""
    return [engine.name for engine in engines()]


def engine_called(text: str) -> Engine | None:
    """The engine that a source calls ``text``; None where the source does not say."""
    return next((engine for engine in engines()
                 if any(text.startswith(words) for words in engine.called)), None)


def choose_engine(
    soc: Soc, processor: Processor, stored: StoredFormat, name: str | None,
) -> Engine | None:
    """The engine called ``name``; None: the first that runs the format there, None if none does.

    Raises
    ------
    EstimateError
        There is no such engine, it has no version for the processor, or it does not read the
        format.
    """
    if name is None:
        return next((engine for engine in engines() if engine.runs(processor, stored)), None)
    found = next((engine for engine in engines() if engine.name == name.lower()), None)
    if found is None:
        raise EstimateError(f"There is no engine {name!r}; known are {', '.join(engine_names())}")
    if not found.runs_on(processor):
        others = [engine.name for engine in engines() if engine.runs_on(processor)]
        raise EstimateError(f"{found.name} does not run on the {processor.name} of {soc.name}; "
                            f"{_listed(others)}")
    if stored.name not in found.formats:
        raise EstimateError(f"{found.name} does not read {stored.name}; it reads "
                            f"{', '.join(found.formats)}")
    return found


def _listed(names: Sequence[str]) -> str:
    return f"those that do are {', '.join(names)}" if names else "none that is known does"
