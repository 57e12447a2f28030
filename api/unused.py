"""Options that say nothing of what was asked for."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import EstimateError

__all__ = ["refuse"]


def refuse(device: str, options: Mapping[str, object], why: str) -> None:
    """Raise ``EstimateError`` for options that were given and have no effect on the device."""
    if given := [option for option, value in options.items() if value not in (None, False)]:
        raise EstimateError(f"{', '.join(given)}: has no effect on {device}, {why}")
