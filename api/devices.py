"""The devices that estimates know, with every constant and its source."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..sim.descriptions.device import Device
from ..sim.descriptions.presets import (
    Constant,
    bundled_devices,
    constants,
    own_devices,
    plugin_devices,
    read_device,
)
from ..sim.descriptions.soc import Soc
from .known_error import known_error

__all__ = ["DescribedDevice", "devices"]


@dataclasses.dataclass(frozen=True)
class DescribedDevice:
    """A device by the name that ``device=`` takes, its description and all of its constants."""

    key: str
    description: Device | Soc
    constants: tuple[Constant, ...]
    error: str   # of estimates on published measurements, in a sentence

    @property
    def assumed(self) -> int:
        """How many constants have nothing to cite."""
        return sum(constant.quantity.kind == "assumption" for constant in self.constants)

    def to_json(self) -> dict[str, Any]:
        """JSON values: ``device``, ``name``, ``kind``, ``error``, and ``constants`` by path."""
        return {
            "device": self.key, "name": self.description.name, "kind": self.description.kind,
            "error": self.error,
            "constants": {constant.path: dataclasses.asdict(constant.quantity)
                          for constant in self.constants},
        }


def devices(name: str | None = None) -> tuple[DescribedDevice, ...]:
    """The bundled devices, the user's own and those of other installed packages.

    Or only the one called ``name`` (or a .toml file).

    Raises
    ------
    EstimateError
        There is no such device, or its description is wrong; the message names file and key.
    """
    found = ({**bundled_devices(), **own_devices(), **plugin_devices()} if name is None
             else {name: read_device(name)})
    return tuple(DescribedDevice(key, description, tuple(constants(description)),
                                 known_error(key, description))
                 for key, description in found.items())
