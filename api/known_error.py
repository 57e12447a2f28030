"""What is known of the error of estimates on a device, in a sentence."""

from __future__ import annotations

from ..sim.descriptions.device import Device
from ..sim.descriptions.soc import Soc
from ..sim.measurements.errors import error_sentence

__all__ = ["known_error"]


def known_error(key: str, description: Device | Soc) -> str:
    """Of the device that is called ``key``: on held-out measurements, or why there is none."""
    if isinstance(description, Soc) or not description.published:
        return error_sentence(key)
    return (f"Published designs on this board: {len(description.published)}; a report compares "
            "estimates of their models with them. They are other designs, so that no measurement "
            "says how far a rate that is estimated here is off.")
