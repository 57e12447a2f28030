"""GPTQ and AWQ checkpoints: int32 words of codes, K first.

GPTQ (AutoGPTQ and GPTQModel, ``qlinear``): ``qweight`` int32 [K * bits / 32, M] with the codes of a
column from the lowest bit of its first word on; ``qzeros`` int32 [groups, M * bits / 32] the same
along M; ``scales`` [groups, M]; ``g_idx`` int32 [K]. The first version of the format stores zero
points less one, ``gptq_v2`` as they are.

AWQ (AutoAWQ, "gemm"): ``qweight`` int32 [K, M / 8], ``qzeros`` int32 [groups, M / 8]; nibble i of a
word belongs to its column 0, 2, 4, 6, 1, 3, 5, 7; ``scales`` [groups, M]; K in order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from typing_extensions import override

from ...errors import CheckpointError
from .affine import AffineTensor, Block, LastRead, stored_floats, unpack_words
from .fields import Fields
from .locate import StoredEntry
from .scheme import Scheme
from .source import check_entry

__all__ = ["awq_scheme", "gptq_scheme"]

_AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
_FLOATS = ("F32", "F16", "BF16")
_LIMIT = 1 << 24
# How the codes were found, or how some tool should run them; not what they mean.
_GPTQ_NOTES = (
    "act_group_aware", "batch_size", "backend", "block_name_to_quantize", "cache_block_outputs",
    "damp_percent", "dataset", "desc_act", "disable_exllama", "exllama_config", "hyb_act",
    "is_marlin_format", "max_input_length", "meta", "model_file_base_name", "model_name_or_path",
    "model_seqlen", "modules_in_block_to_quantize", "module_name_preceding_first_block", "mse",
    "pad_token_id", "quantizer", "static_groups", "sym", "tokenizer", "true_sequential",
    "use_cuda_fp16", "use_exllama", "uuid",
)
_AWQ_NOTES = (
    "backend", "do_fuse", "exllama_config", "fuse_max_seq_len", "modules_to_fuse",
    "modules_to_not_convert",
)


def gptq_scheme(fields: Fields) -> Scheme:
    """The storage that a ``quantization_config`` of method gptq describes."""
    bits = fields.integer("bits", 8)
    if bits not in (2, 3, 4, 8):
        raise fields.refuse("bits", "2, 3, 4 or 8")
    kind = fields.choice("checkpoint_format", ["gptq", "gptq_v2"], default="gptq")
    kind = fields.choice("format", ["gptq", "gptq_v2"], default=kind)
    group_size = _group_size(fields)
    for name, value in (("lm_head", False), ("pack_dtype", "int32"), ("dynamic", {})):
        fields.fixed(name, value)
    fields.ignore(_GPTQ_NOTES)
    fields.finish()
    return _Words(bits, group_size, zero_offset=int(kind == "gptq"), awq=False, last=LastRead())


def awq_scheme(fields: Fields) -> Scheme:
    """The storage that a ``quantization_config`` of method awq describes."""
    fields.fixed("bits", 4)
    fields.fixed("zero_point", True)
    version = fields.raw("version")
    if version not in (None, "gemm", "GEMM"):
        raise fields.refuse("version", '"gemm", the only layout that is read')
    group_size = _group_size(fields)
    fields.ignore(_AWQ_NOTES)
    fields.finish()
    return _Words(4, group_size, zero_offset=0, awq=True, last=LastRead())


def _group_size(fields: Fields) -> int | None:
    value = fields.integer("group_size", _LIMIT, low=-1)
    if value == 0:
        raise fields.refuse("group_size", "-1 (a row) or at least 1")
    return None if value == -1 else value


@dataclass(frozen=True)
class _Words(Scheme):
    """Both layouts; ``zero_offset`` is what was taken from zero points before they were stored."""

    bits: int
    group_size: int | None
    zero_offset: int
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
        if K % size or packed_axis % per_word or M % per_word:
            raise CheckpointError(
                f"{parts['packed']}: a weight of shape {list(shape)} does not fill groups of "
                f"{size} columns and words of {scheme.bits}-bit codes"
            )
        self._size = size
        words = (K, M * 4 // 32) if scheme.awq else (K * scheme.bits // 32, M)
        check_entry(parts["packed"], words, ("I32",))
        check_entry(parts["zero_point"], (K // size, M * scheme.bits // 32), ("I32",))
        check_entry(parts["scale"], (K // size, M), _FLOATS)
        if "g_idx" in parts:
            check_entry(parts["g_idx"], (K,), ("I32",))
        self.kind = "awq" if scheme.awq else "gptq"
        super().__init__(name, shape, parts, scheme.bits, parts.get("g_idx"))
        self._scheme = scheme

    @property
    def groups(self) -> int:
        """Groups of a row."""
        return self.info.shape[1] // self._size

    def block(self, start: int, stop: int) -> Block:
        """Rows ``start`` to ``stop``: columns of what is stored."""
        whole = self._scheme.last.get(self, self._whole)
        rows = slice(start, stop)
        return Block(whole.values[rows], whole.scale[rows], whole.zero_point[rows])

    def _whole(self) -> Block:
        M, K = self.info.shape
        scheme, bits = self._scheme, self._scheme.bits
        packed, zeros = (self._read(part) for part in ("packed", "zero_point"))
        if scheme.awq:
            values, zero_point = _unpack_awq(packed).T, _unpack_awq(zeros).T
        else:
            values = unpack_words(np.ascontiguousarray(packed.T), bits, K)
            zero_point = unpack_words(zeros, bits, M).T
        scale = stored_floats(self.parts["scale"]).T
        return Block(values, scale, zero_point.astype(np.int16) + scheme.zero_offset)

    def _read(self, part: str) -> np.ndarray:
        return self.parts[part].file.read(self.parts[part].name)


def _unpack_awq(words: np.ndarray) -> np.ndarray:
    """Uint8 [rows, 8 * words]."""
    nibbles = unpack_words(words, 4, 8 * words.shape[1]).reshape(len(words), -1, 8)
    columns = np.empty_like(nibbles)
    columns[:, :, _AWQ_ORDER] = nibbles
    return columns.reshape(len(words), -1)
