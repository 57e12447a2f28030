"""The shapes of published models: enough of a config to estimate with, no weights needed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from ...errors import CheckpointError, EstimateError
from ...model import LINEAR_NAMES, Activation, Family, ModelConfig
from ...quant.checkpoint.families import (
    MAX_LAYERS,
    MAX_POSITIONS,
    MAX_VOCABULARY,
    MAX_WIDTH,
    parse_config,
)
from ...quant.checkpoint.files.fields import Fields
from ...quant.checkpoint.rope import take_rope
from .tables import build_description, bundled_names, check_keys, read_toml, require

__all__ = ["ExpertLayers", "ModelShape", "config_of", "load_shape", "shape_names"]

_REQUIRED = {field.name for field in dataclasses.fields(ModelConfig)
             if field.default is dataclasses.MISSING}
_SWITCHES = ("tie_word_embeddings", "qkv_bias", "o_bias", "mlp_bias", "qk_norm", "sub_norm",
             "bitlinear")
_OPTIONAL = {"rope_scaling", "activation", "sliding_windows", "bos_token_id", "eos_token_ids",
             *_SWITCHES}


@dataclass(frozen=True)
class ExpertLayers:
    """Feed-forward networks of which every layer has ``count``, and takes ``chosen`` for a token.

    They stand in the place of the config's, and are ``intermediate_size`` wide. ``biases``: their
    matrices and the router have some; ``others``: parameters of the model that nothing else says.
    """

    count: int
    chosen: int
    intermediate_size: int
    biases: bool = False
    others: int = 0

    def __post_init__(self) -> None:
        """Refuse more chosen ones than there are."""
        if not 1 <= self.chosen <= self.count or self.intermediate_size < 1:
            raise EstimateError(f"{self.chosen} of {self.count} experts, {self.intermediate_size} "
                                "wide, are no experts")

    def shape(self, config: ModelConfig, name: str) -> tuple[int, int]:
        """[M, K] of an expert's matrix, by the name of the dense one."""
        M, K = config.linear_shape(name)
        width = self.intermediate_size
        return (M, width) if name == "mlp.down_proj" else (width, K)

    def parameters(self, config: ModelConfig) -> int:
        """Of one layer: experts and router."""
        shapes = [self.shape(config, name) for name in LINEAR_NAMES if name.startswith("mlp.")]
        one = sum(M * (K + self.biases) for M, K in shapes)
        return self.count * (one + config.hidden_size + self.biases)

    def used(self, tokens: float) -> float:
        """How many experts of a layer are expected to be chosen by at least one of ``tokens``."""
        return self.count * (1 - (1 - self.chosen / self.count) ** tokens)


@dataclass(frozen=True)
class ModelShape:
    """A model to estimate: its name in the report, where its config comes from, and the config.

    ``vocabulary_bits``: of the codes of the embedding and of the head, as a checkpoint has them.
    ``experts``: what the layers have in place of one feed-forward network.
    """

    name: str
    source: str
    config: ModelConfig
    vocabulary_bits: tuple[int, int] = (8, 8)
    experts: ExpertLayers | None = None

    @property
    def parameters(self) -> int:
        """How many parameters the model has, a tied head counted once."""
        tensors = self.config.tensor_shapes()
        if self.experts is None:
            return sum(map(math.prod, tensors.values()))
        dense = sum(math.prod(shape) for name, shape in tensors.items() if ".mlp." not in name)
        return dense + self.experts.others + (
            self.config.num_layers * self.experts.parameters(self.config))


def shape_names() -> list[str]:
    """Names of the bundled shapes."""
    return bundled_names("shapes")


def load_shape(name: str) -> ModelShape:
    """Read the bundled shape ``name`` (``shape_names()``), or a .toml file.

    Raises
    ------
    EstimateError
        The file is missing or malformed, a key is missing, unknown or out of the range that it has
        in a checkpoint, or the published count of parameters that the file states is not what the
        config adds up to.
    """
    data, where = read_toml("shapes", name)
    known = {"name", "source", "parameters", "config", "config_json", "experts"}
    check_keys(data, known, where, {"config", "config_json", "experts"})
    if ("config" in data) == ("config_json" in data):
        raise EstimateError(f"{where}: either [config] or [config_json] must be there")
    for key, kind in (("name", str), ("source", str), ("parameters", int)):
        require(data[key], kind, f"{where}: {key}")
    form = "config" if "config" in data else "config_json"
    table = require(data[form], dict, f"{where}: {form}")
    config = _config(table, f"{where}: {form}") if form == "config" else (
        config_of(table, f"{where}: {form}"))
    experts = build_description(ExpertLayers, require(data["experts"], dict, f"{where}: experts"),
                                f"{where}: experts") if "experts" in data else None
    shape = ModelShape(data["name"], data["source"], config, experts=experts)
    if shape.parameters != data["parameters"]:
        raise EstimateError(
            f"{where}: the config adds up to {shape.parameters} parameters, "
            f"but the file says {data['parameters']}"
        )
    return shape


def config_of(table: Mapping[str, Any], where: str) -> ModelConfig:
    """The model of what a Hugging Face config.json holds, of any family that is read.

    Raises
    ------
    EstimateError
        The architecture is unknown, or a field is missing, wrong or not understood.
    """
    try:
        return parse_config(dict(table), Path(where))
    except CheckpointError as error:
        raise EstimateError(str(error)) from None


def _config(table: Mapping[str, Any], where: str) -> ModelConfig:
    """The table ``[config]``, each key within the bounds of a checkpoint's."""
    check_keys(table, _REQUIRED | _OPTIONAL, where, _OPTIONAL)
    try:
        return _read_config(Fields(table, where), where)
    except CheckpointError as error:
        raise EstimateError(str(error)) from None


def _read_config(fields: Fields, where: str) -> ModelConfig:
    layers = fields.integer("num_layers", MAX_LAYERS)
    heads = fields.integer("num_heads", MAX_WIDTH)
    kv_heads = fields.integer("num_kv_heads", heads)
    if heads % kv_heads:
        raise fields.refuse("num_kv_heads", f"a divisor of the {heads} heads")
    head_dim = fields.integer("head_dim", MAX_WIDTH)
    if head_dim % 2:
        raise fields.refuse("head_dim", "even, as rotary embeddings need")
    vocabulary = fields.integer("vocab_size", MAX_VOCABULARY)
    positions = fields.integer("max_position_embeddings", MAX_POSITIONS)
    theta, scaling = take_rope(fields, where, positions, 1.0)
    switches: dict[str, Any] = {name: fields.boolean(name, default=False) for name in _SWITCHES}
    return ModelConfig(
        family=fields.choice("family", get_args(Family)),   # type: ignore[arg-type]
        hidden_size=fields.integer("hidden_size", MAX_WIDTH),
        intermediate_size=fields.integer("intermediate_size", MAX_WIDTH),
        num_layers=layers, num_heads=heads, num_kv_heads=kv_heads, head_dim=head_dim,
        vocab_size=vocabulary, max_position_embeddings=positions,
        rms_norm_eps=fields.number("rms_norm_eps", 1e-12, 1.0),
        rope_theta=theta, rope_scaling=scaling,
        activation=fields.choice(   # type: ignore[arg-type]
            "activation", get_args(Activation), default="silu"),
        **switches,
        sliding_windows=_windows(fields, layers),
        bos_token_id=fields.optional_integer("bos_token_id", vocabulary - 1, low=0),
        eos_token_ids=_integers(fields, "eos_token_ids", 0, vocabulary - 1),
    )


def _windows(fields: Fields, layers: int) -> tuple[int, ...]:
    windows = _integers(fields, "sliding_windows", 1, MAX_POSITIONS)
    if len(windows) not in (0, layers):
        raise fields.refuse("sliding_windows", f"empty, or a window for each of {layers} layers")
    return windows


def _integers(fields: Fields, name: str, low: int, high: int) -> tuple[int, ...]:
    """A list of integers from ``low`` to ``high``; empty where the key is absent."""
    values = fields.raw(name) if fields.present(name) else []
    if not isinstance(values, list) or any(
            type(value) is not int or not low <= value <= high for value in values):
        raise fields.refuse(name, f"a list of integers from {low} to {high}")
    return tuple(values)
