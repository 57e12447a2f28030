"""GGUF files for llama.cpp: the model's own codes where ggml has a type that holds them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from typing_extensions import override

from ...errors import FormatError
from ...tools.progress import Progress
from ..checkpoint import Checkpoint
from ..checkpoint.files.gguf_blocks import TYPES
from ..checkpoint.files.gguf_groups import GROUPED
from ..checkpoint.gguf.names import ROPE_FACTORS, gguf_name, is_paired, paired_rows, scale_name
from ..formats import Codes, Format, Ternary
from ..formats.grouped_int import GroupedInt
from ..formats.grouped_ternary import GroupedTernary
from ..rounding.weight_blocks import WeightBlocks
from .base import Export, ExportedTensor, Exporter
from .gguf_encode import LIMITS, place, round_to
from .gguf_metadata import metadata
from .gguf_writer import GgufEntry, GgufWriter, gguf_bytes

__all__ = ["EXPORTER", "Gguf"]

_BLOCK = 32
_FILE_TYPES = {"f16": 1, "q4_0": 2, "q8_0": 7, "tq1_0": 36, "tq2_0": 37, "q2_k": 10,
               "q3_k": 11, "q2_0": 41, "pq2_0": 141, "ptq1_0": 143, "auto": 1}
_GROWN = 1.3   # times as many bits are worth a remark
_ASK = "; --type names smaller types, most of which round again"
_SCALES_APART = "bitnet-b1.58"   # bitnet.cpp's architecture reads no .scale tensors


class Gguf(Exporter):
    """One .gguf file. Norms and biases are F32, whatever the type."""

    name = "gguf"
    types: ClassVar[dict[str, str]] = {
        "auto": "the smallest type that holds the stored codes; floats as they are",
        "tq1_0": "ternary, 1.6875 bits",
        "tq2_0": "ternary, 2.0625 bits",
        "q2_0": "groups of 64 or 128 trits, 2.25 bits; llama.cpp since 2026",
        "pq2_0": "groups of 128 trits, 2.125 bits; PrismML's llama.cpp",
        "ptq1_0": "groups of 128 trits, 1.75 bits; PrismML's llama.cpp",
        "q2_k": "2.625 bits: INT2 with a scale per row as it is; anything else rounded",
        "q3_k": "3.4375 bits: symmetric INT3 with a scale per row as it is; anything else rounded",
        "q4_0": "4.5 bits: codes -8 to 7 as they are; anything else rounded",
        "q8_0": "8.5 bits: codes of up to 8 bits as they are; anything else rounded",
        "f16": "the numbers that the codes stand for, rounded to float16",
    }
    writes = "file"

    @override
    def plan(self, checkpoint: Checkpoint, type: str) -> Export:
        return _File(checkpoint, type)


@dataclass(frozen=True)
class _Planned:
    """One tensor: its GGUF type, and whether codes are placed or numbers rounded."""

    name: str
    type: str
    placed: bool
    exact: bool
    apart: bool = False        # its one scale goes into a tensor of its own, as float32
    note: str | None = None


class _File(Export):
    def __init__(self, checkpoint: Checkpoint, type: str) -> None:
        self._checkpoint = checkpoint
        self._metadata, self.warnings = metadata(checkpoint, _FILE_TYPES[type])
        self._architecture = self._metadata["general.architecture"]
        if self._architecture == _SCALES_APART:
            self.warnings.append(
                "llama.cpp itself has no BitNet with squared ReLU; this file (architecture "
                "bitnet-b1.58) is for bitnet.cpp and its relatives, and scales are float16 in it"
            )
        linear = set(checkpoint.config.linear_weights())
        self._planned = [
            self._plan(name, type if name in linear else _rest(type)) for name in checkpoint.tensors
        ]
        self._entries = self._all_entries()
        self.tensors = [line for planned in self._planned for line in self._exported(planned)]
        self.warnings += self._remarks()
        self.needed_bytes = gguf_bytes(self._metadata, self._entries)

    def _plan(self, name: str, type: str) -> _Planned:
        shape = self._checkpoint.tensors[name].shape
        if len(shape) == 1:
            return _Planned(name, "F32", placed=False, exact=True)
        form = self._checkpoint.stored_format(name)
        if type == "auto":
            type = _smallest(form, shape[1]) or self._float_type(name)
        wanted = type.upper()
        self._check_ternary(name, wanted, form)
        type, note = _fitting(wanted, shape[1])
        placed = form is not None and _holds(type, form)
        apart = placed and isinstance(form, Ternary) and self._architecture != _SCALES_APART
        exact = (placed and (apart or not isinstance(form, Ternary))) or (
            not placed and self._floats_exact(name, type)
        )
        return _Planned(name, type, placed, exact, apart, note)

    def _check_ternary(self, name: str, wanted: str, form: Format | None) -> None:
        """Raise ``FormatError`` if a ternary type is asked for what it cannot hold."""
        held = "floats" if form is None else str(form)
        said = f"{self._checkpoint.folder}: {name} is in {held}; {wanted} holds ternary weights"
        if wanted in ("TQ1_0", "TQ2_0") and not _is_ternary(form):
            raise FormatError(f"{said} with a scale for each row or tensor")
        if wanted in GROUPED and (form is None or not _holds(wanted, form)):
            raise FormatError(f"{said} with a scale for each row or tensor, or for groups of "
                              f"{GROUPED[wanted]} or a multiple")

    def _remarks(self) -> list[str]:
        """A sentence for each format whose codes take more bits, or are rounded, in the file."""
        alike: dict[tuple[str, str, bool], list[str]] = {}
        for planned in self._planned:
            form = self._checkpoint.stored_format(planned.name)
            if form is not None and len(self._checkpoint.tensors[planned.name].shape) == 2:
                alike.setdefault((str(form), planned.type, planned.placed), []).append(planned.name)
        remarks = []
        for (stored, type, placed), names in alike.items():
            weights, before, after = self._bits(names)
            sizes = f"{before / weights:.2f} to {after / weights:.2f} bits per weight"
            what = f"{len(names)} matrices in {stored}"
            if not placed:
                remarks.append(f"{what} are rounded again, to {type}, which does not hold their "
                               f"codes: {sizes}")
            elif after > _GROWN * before:
                remarks.append(f"{what} are stored exactly in {type} and grow from {sizes}{_ASK}")
        return remarks

    def _bits(self, names: list[str]) -> tuple[int, int, int]:
        """How many weights ``names`` have, and their bits in the checkpoint and in the file."""
        tensors = [self._checkpoint.tensors[name] for name in names]
        after = sum(self._entries[self._name(name)].nbytes for name in names)
        weights = sum(tensor.matrix[0] * tensor.matrix[1] for tensor in tensors)
        return weights, 8 * sum(tensor.nbytes for tensor in tensors), 8 * after

    def _float_type(self, name: str) -> str:
        packed = self._checkpoint.format(name) is not None
        return "Q8_0" if packed else self._checkpoint.tensors[name].float_type

    def _floats_exact(self, name: str, type: str) -> bool:
        stored = self._checkpoint.tensors[name].dtype
        return type == "F32" or (type == stored and self._checkpoint.format(name) is None)

    def _all_entries(self) -> dict[str, GgufEntry]:
        entries: dict[str, GgufEntry] = {}
        for planned in self._planned:
            shape = self._checkpoint.tensors[planned.name].shape
            entries[self._name(planned.name)] = GgufEntry(planned.type, shape)
            if planned.apart:
                entries[scale_name(planned.name)] = GgufEntry("F32", (1,))
        if self._rope_factors() is not None:
            entries[ROPE_FACTORS] = GgufEntry("F32", (self._checkpoint.config.head_dim // 2,))
        return entries

    def _name(self, name: str) -> str:
        return gguf_name(name, self._checkpoint.config.norms)

    def _exported(self, planned: _Planned) -> Iterator[ExportedTensor]:
        names = [self._name(planned.name), *([scale_name(planned.name)] if planned.apart else [])]
        for name in names:
            entry = self._entries[name]
            yield ExportedTensor(
                name, planned.name, entry.shape, entry.type, entry.nbytes, planned.exact,
                planned.note if name == names[0] else None,
            )

    def _rope_factors(self) -> np.ndarray | None:
        config = self._checkpoint.config
        if config.rope_scaling is None or config.rope_scaling.kind != "llama3":
            return None
        from ...numerics import rope_factors  # noqa: PLC0415 - brings Numba

        factors = rope_factors(config.head_dim, config.rope_theta, config.rope_scaling)
        return factors.astype("<f4")

    @override
    def write(self, path: Path, progress: Progress) -> None:
        with GgufWriter(path, self._metadata, self._entries) as writer:
            for planned in self._planned:
                self._write(planned, writer)
                progress.advance(self._checkpoint.tensors[planned.name].nbytes)
            if (factors := self._rope_factors()) is not None:
                writer.append(ROPE_FACTORS, factors.view(np.uint8))

    def _write(self, planned: _Planned, writer: GgufWriter) -> None:
        name, paired = self._name(planned.name), is_paired(planned.name, self._architecture)
        shape = self._checkpoint.tensors[planned.name].shape
        if len(shape) == 1:
            values = self._checkpoint.read(planned.name)
            if planned.name.endswith("norm.weight"):   # llama.cpp's conversion adds the offset
                values = values + np.float32(self._checkpoint.config.gain_offset)
            values = values[paired_rows(len(values), self._checkpoint.config)] if paired else values
            writer.append(name, values.astype("<f4").view(np.uint8))
            return
        blocks = self._placed(planned, writer) if planned.placed else (
            round_to(rows, planned.type)
            for rows in WeightBlocks(self._checkpoint, planned.name).float32()
        )
        if paired:   # the order of a whole matrix changes
            whole = np.concatenate(list(blocks))
            writer.append(name, whole[paired_rows(len(whole), self._checkpoint.config)])
            return
        for block in blocks:
            writer.append(name, block)

    def _placed(self, planned: _Planned, writer: GgufWriter) -> Iterator[np.ndarray]:
        width = TYPES[planned.type].values
        scale = None
        for codes in WeightBlocks(self._checkpoint, planned.name).stored():
            if scale is None and planned.apart:
                scale = codes.scale.reshape(1).astype("<f4")
                writer.append(scale_name(planned.name), scale.view(np.uint8))
            values = _signed(codes)
            factor = np.ones((1, 1), np.float16) if planned.apart else codes.scale
            yield place(values, _per_block(factor, values.shape, width), planned.type)


def _rest(type: str) -> str:
    """The type of embedding and head: as they are, or Q8_0 where they are packed; f16 is f16."""
    return "f16" if type == "f16" else "auto"


def _is_ternary(form: Format | None) -> bool:
    """Trits whose scale holds for at least a row, as a block of 256 needs."""
    return isinstance(form, Ternary) or (
        isinstance(form, GroupedTernary) and form.group_size is None
    )


def _holds(type: str, form: Format) -> bool:
    """Whether blocks of ``type`` stand for every code of ``form``, scales included."""
    if type not in LIMITS:
        return False
    if isinstance(form, Ternary):
        return True
    width = TYPES[type].values
    group = getattr(form, "group_size", 0)
    if group == 0 or (group is not None and group % width):
        return False   # a scale in float32, or more than one to a block
    if isinstance(form, GroupedTernary):
        low, high = -1, 1
    elif isinstance(form, GroupedInt):
        low, high = (-form.half, form.half - 1) if form.symmetric else (-form.top, form.top)
    else:
        return False   # HLQ, say, has codes of no one scale
    return LIMITS[type][0] <= low and high <= LIMITS[type][1]


def _smallest(form: Format | None, K: int) -> str | None:
    """The smallest type that holds the codes of ``form`` in rows of ``K``; None: no type does."""
    if form is None:
        return None
    if _is_ternary(form) and K % TYPES["TQ2_0"].values == 0:
        return "tq2_0"
    fitting = [
        type for type in ("Q2_K", "Q3_K", "Q4_0", "Q8_0")
        if _holds(type, form) and K % TYPES[type].values == 0
    ]
    return fitting[0] if fitting else None


def _fitting(type: str, K: int) -> tuple[str, str | None]:
    """``type``, or what takes its place where rows of ``K`` are no whole blocks, and why."""
    width = TYPES[type].values
    if K % width == 0:
        return type, None
    other = "Q8_0" if K % _BLOCK == 0 else "F16"
    return other, f"stored as {other}: rows of {K} are no whole blocks of {width}, as {type} needs"


def _signed(codes: Codes) -> np.ndarray:
    """The integers that scales multiply, int8 [R, K]: codes less their zero points."""
    values = codes.values.astype(np.int8)
    if codes.zero_point is None:
        return values
    groups = codes.zero_point.shape[1]
    zero_point = np.repeat(codes.zero_point.astype(np.int8), values.shape[1] // groups, axis=1)
    return values - zero_point


def _per_block(scale: np.ndarray, shape: tuple[int, ...], width: int) -> np.ndarray:
    """One float16 scale for each block, from one for the tensor, for each row or each group."""
    rows, blocks = shape[0], shape[1] // width
    spread = np.broadcast_to(scale, (rows, scale.shape[1]))
    return np.repeat(spread, blocks // scale.shape[1], axis=1).astype(np.float16)


EXPORTER = Gguf()
