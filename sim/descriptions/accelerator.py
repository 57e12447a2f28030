"""Accelerators, each described by one TOML file: its engine, its RTL, and constants to estimate by.

``load_accelerator`` is the one door to them: whatever takes ``--hardware`` reads through it, and
takes of the description what it needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from ...errors import EstimateError
from ...fpga.accelerator_parameters import AcceleratorParameters
from ...hw.matmul.engine_parameters import TlmmParameters
from ...hw.weights.buffer_planner import weight_beat_width
from .formula_accelerator import EngineConstants, FormulaAccelerator
from .quantity import Quantity
from .tables import (
    MeasuredIn,
    build_description,
    bundled_names,
    check_keys,
    own_names,
    read_toml,
    require,
)

__all__ = ["CONSTANTS", "AcceleratorDescription", "MemoryPort", "accelerator_names",
           "load_accelerator"]

_FOLDER = "accelerators"
CONSTANTS = ("clock", "storage", "integer", "vector", "overlap", "host")   # tables of the formulas
# Files whose constants hold where another one does not state them: for formulas, and for what is
# assumed around an accelerator in RTL.
_FORMULAS, _RTL = "tlmm-kv260", "kv260"


@dataclass(frozen=True)
class MemoryPort:
    """What is assumed of the memory at the accelerator's port."""

    latency: Annotated[Quantity, MeasuredIn("ns")]


@dataclass(frozen=True)
class AcceleratorDescription:
    """An accelerator as its file describes it.

    ``name`` is what reports call it, ``source`` how constants from the file name it. ``engine`` is
    the table-lookup engine; ``parameters`` are those of the whole accelerator, and ``port`` its
    memory's, or None where only the engine exists in RTL. ``formulas`` are the constants with which
    formulas estimate it; what an accelerator in RTL has follows from its parameters there.
    """

    name: str
    source: str
    engine: TlmmParameters
    parameters: AcceleratorParameters | None
    formulas: FormulaAccelerator
    port: MemoryPort | None

    @classmethod
    def of(cls, name: str, parameters: AcceleratorParameters,
           source: str = "fpga.AcceleratorParameters") -> AcceleratorDescription:
        """The accelerator of ``parameters``, with the constants that files need not state."""
        return _described(name, source, parameters.tlmm, parameters, {}, source)

    def whole(self) -> AcceleratorParameters:
        """The parameters of the whole accelerator.

        Raises
        ------
        EstimateError
            Only its engine is described.
        """
        if self.parameters is None:
            raise EstimateError(
                f"{self.source} describes an engine and no whole accelerator: it has no table "
                f"[accelerator]; take one of {', '.join(accelerator_names(whole=True))}, or a "
                ".toml file that has it")
        return self.parameters


def accelerator_names(whole: bool = False) -> list[str]:
    """Names of the bundled accelerators and of the user's own; ``whole``: that exist in RTL."""
    names = [*bundled_names(_FOLDER), *own_names(_FOLDER)]
    return [name for name in names if not whole or "accelerator" in read_toml(_FOLDER, name)[0]]


def load_accelerator(name: str) -> AcceleratorDescription:
    """Read the accelerator ``name`` (``kv260``, ``demo``, ``ulx3s``, ...), or a .toml file.

    docs/reference/accelerators.md says what each key means.

    Raises
    ------
    EstimateError
        There is no such accelerator, the file cannot be read, a key is missing or unknown, or a
        value is not what its key asks for; the message names the file and the key.
    """
    table, where = read_toml(_FOLDER, name)
    check_keys(table, {"name", "description", "tlmm", "accelerator", "port", *CONSTANTS}, where,
               {"description", "accelerator", "port", *CONSTANTS})
    require(table.get("description", ""), str, f"{where}: description")
    engine = build_description(TlmmParameters, require(table["tlmm"], dict, f"{where}: tlmm"),
                   f"{where}: tlmm")
    parameters = None
    if "accelerator" in table:
        parameters = build_description(
            AcceleratorParameters, require(table["accelerator"], dict, f"{where}: accelerator"),
            f"{where}: accelerator", {"tlmm": engine})
    elif "port" in table:
        raise EstimateError(f"{where}: port: there is none without a table [accelerator]")
    source = f"fpga/configurations: {Path(where).stem}" if name in bundled_names(
        _FOLDER) else where
    return _described(require(table["name"], str, f"{where}: name"), source, engine, parameters,
                      table, where)


def _described(
    name: str, source: str, engine: TlmmParameters, parameters: AcceleratorParameters | None,
    stated: Mapping[str, Any], where: str,
) -> AcceleratorDescription:
    """A description, with the constants that are ``stated`` and else the usual ones."""
    usual, _ = read_toml(_FOLDER, _FORMULAS)
    layers: list[Mapping[str, Any]] = [usual]
    port = None
    if parameters is not None:
        rtl, _ = read_toml(_FOLDER, _RTL)
        known = _rtl_constants(parameters, source)
        _refuse_known(stated, known, where)
        layers.append(known)
        merged = _merged([rtl, stated], "port", where)
        port = build_description(MemoryPort, merged, f"{where}: port")
    layers.append(stated)
    constants = {table: _merged(layers, table, where) for table in CONSTANTS}
    formulas = build_description(FormulaAccelerator, constants, where,
                     {"name": name, "tlmm": EngineConstants.of(engine)})
    return AcceleratorDescription(name, source, engine, parameters, formulas, port)


def _refuse_known(stated: Mapping[str, Any], known: Mapping[str, Mapping[str, Quantity]],
                  where: str) -> None:
    """Refuse constants that the parameters of an accelerator in RTL already say."""
    for table, keys in known.items():
        for key in set(keys) & set(require(stated.get(table, {}), dict, f"{where}: {table}")):
            raise EstimateError(
                f"{where}: {table}: {key} follows from [accelerator]; it is "
                f"{keys[key].nominal:g} {keys[key].unit}, and must not be stated")


def _merged(layers: Sequence[Mapping[str, Any]], table: str, where: str) -> dict[str, Any]:
    """A table in which later layers replace the keys of earlier ones."""
    merged: dict[str, Any] = {}
    for layer in layers:
        merged |= require(layer.get(table, {}), dict, f"{where}: {table}")
    return merged


def _rtl_constants(p: AcceleratorParameters, source: str) -> dict[str, dict[str, Quantity]]:
    """What formulas must know of an accelerator and its parameters say."""
    def rtl(value: int, unit: str, why: str) -> Quantity:
        return Quantity(value, value, value, unit, "rtl", f"{source}: {why}")

    return {
        "storage": {
            "kv_width": rtl(8, "bit", "int8 keys and values with a float32 scale"),
            "weight_buffer": rtl(p.weight_beats * weight_beat_width(p.tlmm) // 8, "B",
                                 f"{p.weight_beats} weight beats"),
            "activation_buffer": rtl(0, "B", "rows go through memory between operators"),
        },
        "integer": {
            "lanes": rtl(p.word_bytes * p.queries, "MAC/cycle",
                         f"a word of int8 keys or values for each of {p.queries} queries"),
            "query_rows": rtl(p.queries, "tokens", "queries that share one read of the cache"),
        },
        "vector": {"lanes": rtl(p.lanes, "elements/cycle", "lanes")},
        "host": {"token": Quantity(0, 0, 0, "ms", "rtl",
                                   "the accelerator chooses the token and goes on by itself")},
    }
