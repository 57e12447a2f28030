"""Accelerators by name: ``configurations/*.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path

from ..errors import TrilobiteError
from ..hw.matmul.parameters import TlmmParameters
from .parameters import AcceleratorParameters

__all__ = ["configurations", "load_configuration"]

_FOLDER = Path(__file__).parent / "configurations"


def configurations() -> list[str]:
    """Names of the accelerators that come with the package."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def load_configuration(name: str) -> AcceleratorParameters:
    """The accelerator called ``name``, or that of a ``.toml`` file.

    Raises
    ------
    TrilobiteError
        There is no such accelerator; the file is not TOML, lacks a parameter or has one too many,
        or a value is out of range.
    """
    path = Path(name) if name.endswith(".toml") else _FOLDER / f"{name}.toml"
    try:
        table = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise TrilobiteError(f"There is no accelerator {name!r}; there are "
                             f"{', '.join(configurations())}, or a .toml file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise TrilobiteError(f"{path} cannot be read: {error}") from None
    table.pop("description", None)
    engine = table.pop("tlmm", {})
    try:
        return AcceleratorParameters(tlmm=TlmmParameters(**engine), **table)
    except (TypeError, ValueError) as error:
        known = [field.name for field in fields(AcceleratorParameters)]
        raise TrilobiteError(f"{path}: {error} (parameters are {', '.join(known)})") from None
