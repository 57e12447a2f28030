"""GPTQ and AWQ checkpoints: int32 words of codes, K first.

GPTQ (AutoGPTQ and GPTQModel, ``qlinear``): ``qweight`` int32 [K * bits / 32, M] with the codes of a
column from the lowest bit of its first word on; ``qzeros`` int32 [groups, M * bits / 32] the same
along M; ``scales`` [groups, M]; ``g_idx`` int32 [K]. The last group of a row may be shorter. The
first version of the format stores zero points less one, ``gptq_v2`` as they are. Symmetric codes
have the zero point 2**(bits - 1), whichever of the two a tool took its files for: their zero points
are what they must be, and what is stored only has to be one of the two.

AWQ (AutoAWQ, "gemm"): ``qweight`` int32 [K, M / 8], ``qzeros`` int32 [groups, M / 8]; nibble i of a
word belongs to its column 0, 2, 4, 6, 1, 3, 5, 7; ``scales`` [groups, M]; K in order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from typing_extensions import override

from ...errors import CheckpointError
from .affine import AffineRows, AffineTensor, LastRead, stored_floats, unpack_words
from .files.fields import Fields
from .files.locate import StoredEntry
from .files.source import check_entry
from .scheme import Scheme

__all__ = ["awq_scheme", "gptq_scheme"]

_AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
_FLOATS = ("F32", "F16", "BF16")
_LIMIT = 1 << 24
# How the codes were found, or how some tool should run them; not what they mean.
_GPTQ_NOTES = (
    "act_group_aware", "auto_forward_data_parallel", "backend", "batch_size",
    "block_name_to_quantize", "cache_block_outputs", "compute_device_filter",
    "damp_auto_increment", "damp_percent", "dataset", "dense_vram_strategy", "desc_act",
    "device", "disable_exllama", "exllama_config", "failsafe", "fallback", "foem", "gc_mode",
    "gptaq", "hessian", "hyb_act", "is_marlin_format", "max_input_length", "meta",
    "mock_quantization", "model_file_base_name", "model_name_or_path", "model_seqlen",
    "module_name_preceding_first_block", "modules_in_block_to_quantize", "moe",
    "moe_vram_strategy", "mse", "offload_to_disk", "offload_to_disk_path", "pack_impl",
    "pad_token_id", "parallel_packing", "process", "quantizer", "static_groups", "tokenizer",
    "true_sequential", "use_cuda_fp16", "use_exllama", "uuid", "vram_strategy",
    "wait_for_submodule_finalizers",
)
_AWQ_NOTES = (
    *_GPTQ_NOTES, "do_fuse", "fuse_max_seq_len", "modules_to_fuse", "modules_to_not_convert",
    "sym",   # zero points are stored as they are
)


def gptq_scheme(fields: Fields) -> Scheme:
    """The storage that a ``quantization_config`` of method gptq describes."""
    bits = fields.integer("bits", 8)
    if bits not in (2, 3, 4, 8):
        raise fields.refuse("bits", "2, 3, 4 or 8")
    kind = fields.choice("checkpoint_format", ["gptq", "gptq_v2"], default="gptq")
    kind = fields.choice("format", ["gptq", "gptq_v2"], default=kind)
    group_size = _group_size(fields)
    symmetric = fields.boolean("sym", default=False)
    _only_linears(fields)
    fields.ignore(_GPTQ_NOTES)
    fields.finish()
    return _Words(bits, group_size, int(kind == "gptq"), symmetric, awq=False, last=LastRead())


def awq_scheme(fields: Fields) -> Scheme:
    """The storage that a ``quantization_config`` of method awq describes."""
    fields.fixed("bits", 4)
    fields.fixed("zero_point", True)
    for name in ("version", "format", "checkpoint_format"):   # AutoAWQ has the first of them
        if fields.raw(name) not in (None, "gemm", "GEMM"):
            raise fields.refuse(name, '"gemm", the only layout that is read')
    group_size = _group_size(fields)
    _only_linears(fields)
    fields.ignore(_AWQ_NOTES)
    fields.finish()
    return _Words(4, group_size, zero_offset=0, symmetric=False, awq=True, last=LastRead())


def _only_linears(fields: Fields) -> None:
    """Refuse what would change layers beside the linears, or some of these."""
    for name, value in (("lm_head", False), ("pack_dtype", "int32"), ("dynamic", {}),
                        ("adapter", {}), ("rotation", "")):
        fields.fixed(name, value)


def _group_size(fields: Fields) -> int | None:
    value = fields.integer("group_size", _LIMIT, low=-1)
    if value == 0:
        raise fields.refuse("group_size", "-1 (a row) or at least 1")
    return None if value == -1 else value


@dataclass(frozen=True)
class _Words(Scheme):
    """Both layouts; ``zero_offset`` is what was taken from zero points before they were stored.

    ``symmetric``: every zero point is 2**(bits - 1).
    """

    bits: int
    group_size: int | None
    zero_offset: int
    symmetric: bool
    awq: bool
    last: LastRead

    @override
    def parts(self, name: str, stored: Mapping[str, StoredEntry]) -> dict[str, str]:
        base = name.removesuffix("weight")
        if f"{base}qweight" not in stored:
            return {}
        suffixes = {"packed": "qweight", "zero_point": "qzeros", "scale": "scales"}
        if f"{base}g_idx" in stored:
            suffixes["g_idx"] = "g_idx"
        return {role: base + suffix for role, suffix in suffixes.items()}

    @override
    def source(
        self, name: str, shape: tuple[int, ...], parts: Mapping[str, StoredEntry]
    ) -> AffineTensor:
        return _WordsTensor(name, shape, parts, self)


class _WordsTensor(AffineTensor):
    lowest = 0

    def __init__(
        self, name: str, shape: tuple[int, ...], parts: Mapping[str, StoredEntry], scheme: _Words
    ) -> None:
        M, K = shape
        size = scheme.group_size or K
        per_word = 32 // scheme.bits if 32 % scheme.bits == 0 else 32   # 3 bits: 32 in 3 words
        packed_axis = M if scheme.awq else K
        if packed_axis % per_word or M % per_word:
            raise CheckpointError(
                f"{parts['packed']}: a weight of shape {list(shape)} does not fill words of "
                f"{scheme.bits}-bit codes"
            )
        self._size, self._groups = size, -(-K // size)
        words = (K, M * 4 // 32) if scheme.awq else (K * scheme.bits // 32, M)
        check_entry(parts["packed"], words, ("I32",))
        check_entry(parts["zero_point"], (self._groups, M * scheme.bits // 32), ("I32",))
        check_entry(parts["scale"], (self._groups, M), _FLOATS)
        if "g_idx" in parts:
            check_entry(parts["g_idx"], (K,), ("I32",))
        self.kind = "awq" if scheme.awq else "gptq"
        super().__init__(name, shape, parts, scheme.bits, parts.get("g_idx"))
        self._scheme = scheme

    @property
    def groups(self) -> int:
        """Groups of a row."""
        return self._groups

    @property
    def group_width(self) -> int:
        """Columns of a group; the last one may have fewer."""
        return self._size

    def block(self, start: int, stop: int) -> AffineRows:
        """Rows ``start`` to ``stop``: columns of what is stored."""
        whole = self._scheme.last.get(self, self._whole)
        rows = slice(start, stop)
        return AffineRows(whole.values[rows], whole.scale[rows], whole.zero_point[rows])

    def _whole(self) -> AffineRows:
        M, K = self.info.shape
        scheme, bits = self._scheme, self._scheme.bits
        packed, zeros = (self._read(part) for part in ("packed", "zero_point"))
        if scheme.awq:
            values, zero_point = _unpack_awq(packed).T, _unpack_awq(zeros).T
        else:
            values = unpack_words(np.ascontiguousarray(packed.T), bits, K)
            zero_point = unpack_words(zeros, bits, M).T
        scale = stored_floats(self.parts["scale"]).T
        return AffineRows(values, scale, self._zero_points(zero_point.astype(np.int16)))

    def _zero_points(self, stored: np.ndarray) -> np.ndarray:
        """Zero points of the ``stored`` ones; symmetric ones were perhaps stored either way."""
        if not self._scheme.symmetric:
            return stored + self._scheme.zero_offset
        half = 1 << (self._scheme.bits - 1)
        first = stored.flat[0]
        if first not in (half - 1, half) or (stored != first).any():
            raise CheckpointError(
                f"{self.parts['zero_point']} holds the zero points {stored.min()} to "
                f"{stored.max()}; config.json says that the codes are symmetric (\"sym\"), so all "
                f"must be {half - 1} or all {half}"
            )
        return np.full_like(stored, half)

    def _read(self, part: str) -> np.ndarray:
        return self.parts[part].file.read(self.parts[part].name)


def _unpack_awq(words: np.ndarray) -> np.ndarray:
    """Uint8 [rows, 8 * words]."""
    nibbles = unpack_words(words, 4, 8 * words.shape[1]).reshape(len(words), -1, 8)
    columns = np.empty_like(nibbles)
    columns[:, :, _AWQ_ORDER] = nibbles
    return columns.reshape(len(words), -1)
