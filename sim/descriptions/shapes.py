"""The shapes of published models: enough of a config to estimate with, no weights needed."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from ...errors import EstimateError
from ...model import ModelConfig
from .tables import bundled_names, read_toml

__all__ = ["ModelShape", "load_shape", "shape_names"]


@dataclass(frozen=True)
class ModelShape:
    """A model to estimate: its name in the report, where its config comes from, and the config.

    ``vocabulary_bits``: of the codes of the embedding and of the head, as a checkpoint has them.
    """

    name: str
    source: str
    config: ModelConfig
    vocabulary_bits: tuple[int, int] = (8, 8)

    @property
    def parameters(self) -> int:
        """How many parameters the model has, a tied head counted once."""
        return sum(math.prod(shape) for shape in self.config.tensor_shapes().values())


def shape_names() -> list[str]:
    """Names of the bundled shapes."""
    return bundled_names("shapes")


def load_shape(name: str) -> ModelShape:
    """Read the bundled shape ``name`` (``shape_names()``), or a .toml file.

    Raises
    ------
    EstimateError
        The file is missing or malformed, a field is unknown to ``ModelConfig``, or the published
        count of parameters that the file states is not what the config adds up to.
    """
    data, where = read_toml("shapes", name)
    if missing := sorted({"name", "source", "parameters", "config"} - set(data)):
        raise EstimateError(f"{where}: missing key {', '.join(missing)}")
    known = {field.name for field in dataclasses.fields(ModelConfig)}
    if unknown := sorted(set(data["config"]) - known):
        raise EstimateError(f"{where}: config: unknown key {', '.join(unknown)}")
    try:
        shape = ModelShape(data["name"], data["source"], ModelConfig(**data["config"]))
    except TypeError as error:
        raise EstimateError(f"{where}: config is not complete: {error}") from None
    if shape.parameters != data["parameters"]:
        raise EstimateError(
            f"{where}: the config adds up to {shape.parameters} parameters, "
            f"but the file says {data['parameters']}"
        )
    return shape
