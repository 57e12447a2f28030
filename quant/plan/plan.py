"""What a quantization will do to each tensor, settled and checked before any weight is read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...errors import CheckpointError, FormatError
from ..checkpoint import Checkpoint, TensorInfo, open_checkpoint
from ..formats import Format, Int8
from ..output.manifest import TensorRecord
from ..output.safetensors_writer import TensorEntry
from ..rounding.rounded_blocks import COMPILED_VALUES, THREADS
from ..rounding.weight_blocks import row_blocks
from .fitting import GROUP, fit_format
from .mixed import Rule, matches

__all__ = [
    "ALLOW", "FLOAT_SHARE", "Leniency", "Plan", "PlannedTensor", "check_source", "estimate_memory",
    "plan_tensors",
]

FLOAT_SHARE = 0.05   # of the linear weights that may stay float without being allowed to
ALLOW = (
    "another format or group size may fit; --allow-float (allow_float=True) lets them stay float"
)

_EMBEDDINGS = ("model.embed_tokens.weight", "lm_head.weight")
_PROCESS_BYTES = 60_000_000   # Python, numpy, the toolkit and its command line
_RUNTIME_BYTES = 400_000_000  # Numba with its compiler, the linear algebra libraries' buffers
_COMPILED_BYTES = 180_000_000   # Numba, its compiler, and blocks on their way through threads
_BYTES_PER_WEIGHT = 64        # a weight, its codes, errors and gradient, mostly as float64
_BYTES_PER_HESSIAN_VALUE = 64
_BYTES_PER_BLOCK_VALUE = 40   # a block's weights, quotients, codes, and errors as float64


@dataclass(frozen=True)
class PlannedTensor:
    """One tensor of the model, and the format it gets; None: it is kept as stored."""

    name: str
    info: TensorInfo
    format: Format | None

    @property
    def coded_format(self) -> Format:
        """Its format; raise ``ValueError`` if it is kept as stored."""
        if self.format is None:
            raise ValueError(f"{self.name} is kept as stored")
        return self.format

    def stored(self) -> dict[str, TensorEntry]:
        """What it becomes in the file, by full name."""
        if self.format is None:
            return {self.name: TensorEntry(self.info.float_type, self.info.shape)}
        M, K = self.info.shape
        return {
            f"{self.name}_{suffix}": TensorEntry.of(layout.dtype, layout.shape)
            for suffix, layout in self.format.layout((M, K)).items()
        }

    @property
    def bytes_after(self) -> int:
        """Size in the file, scales included."""
        return sum(tensor.nbytes for tensor in self.stored().values())

    def record(
        self, nmse: float | None = None, max_abs_error: float | None = None,
        output_nmse: float | None = None,
    ) -> TensorRecord:
        """Its line of the manifest."""
        return TensorRecord(
            name=self.name,
            shape=self.info.shape,
            stored_before=self.info.dtype,
            format=self.format.spec() if self.format else None,
            bytes_before=self.info.nbytes,
            bytes_after=self.bytes_after,
            nmse=nmse,
            max_abs_error=max_abs_error,
            output_nmse=output_nmse,
        )


@dataclass(frozen=True)
class Plan:
    """Every tensor of a checkpoint in order, and why some are not quantized (a sentence each)."""

    tensors: list[PlannedTensor]
    warnings: tuple[str, ...]


def check_source(checkpoint: Checkpoint) -> None:
    """Raise ``CheckpointError`` if Trilobite has quantized the checkpoint already."""
    if checkpoint.quantization is not None:
        raise CheckpointError(
            f"{checkpoint.folder} has been quantized by Trilobite already; quantizing it again "
            "would add error to error: quantize the checkpoint that it was made from"
        )


@dataclass(frozen=True)
class Leniency:
    """What is done about matrices that do not fit their format.

    ``strict``: any is an error. ``allow_float``: they stay float, however many there are.
    """

    strict: bool = False
    allow_float: bool = False


def plan_tensors(
    checkpoint: Checkpoint, linear: Mapping[str, Format], given: bool, embedding: str,
    rules: Iterable[Rule], leniency: Leniency,
) -> Plan:
    """What becomes of each tensor: ``linear`` for the linear weights, then ``rules``.

    ``given`` says that somebody gave the group size of ``linear``. Few matrices that do not fit
    their format, of a group size that nobody gave, are kept as they are, with a warning.

    Raises
    ------
    FormatError
        ``embedding`` is neither "int8" nor "keep"; a rule matches nothing; a matrix does not fit
        its format and ``leniency`` does not let it; no linear weight is left to quantize (all are
        named).
    """
    if embedding not in ("int8", "keep"):
        raise FormatError(f"embedding must be 'int8' or 'keep', not {embedding!r}")
    shapes = {
        name: info.shape for name, info in checkpoint.tensors.items() if len(info.shape) == 2
    }
    formats: dict[str, Format | None] = dict.fromkeys(shapes)
    formats |= linear
    formats |= {
        name: Int8() if embedding == "int8" else _codes_of(checkpoint, name)
        for name in _EMBEDDINGS if name in formats
    }
    demanded = set(linear) if given else set()
    notes = []
    for rule in rules:
        names = matches(rule, list(shapes))
        demanded -= set(names)
        formats |= dict.fromkeys(names)
        if rule.stated is None:
            continue
        fitted = fit_format(rule.stated, {name: shapes[name] for name in names})
        formats |= dict.fromkeys(names, fitted.form)
        demanded |= set(names) if GROUP in rule.stated.given else set()
        notes += [fitted.note] if fitted.note else []
    problems = _problems(shapes, formats)
    _refuse(problems, shapes, set(linear), demanded, leniency)
    tensors = [
        PlannedTensor(name, info, None if name in problems else formats.get(name))
        for name, info in checkpoint.tensors.items()
    ]
    kept = [
        f"{problem}. It is kept in {checkpoint.tensors[name].dtype}"
        for name, problem in problems.items()
    ]
    return Plan(tensors, (*notes, *kept))


def _codes_of(checkpoint: Checkpoint, name: str) -> Format | None:
    """The format of an embedding that is stored in codes already; None: it is stored as floats."""
    form = checkpoint.format(name)
    return form if form == checkpoint.stored_format(name) else None


def _refuse(
    problems: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]], linear: set[str],
    demanded: set[str], leniency: Leniency,
) -> None:
    """Raise ``FormatError`` where too much has ``problems``; ``demanded`` is what has to fit."""
    if problems and (leniency.strict or linear <= set(problems)):
        raise FormatError("\n".join(problems.values()))
    if leniency.allow_float:
        return
    if unfit := [problem for name, problem in problems.items() if name in demanded]:
        raise FormatError("\n".join([*unfit, ALLOW]))
    lost = [name for name in shapes if name in problems and name in linear]
    share = (sum(math.prod(shapes[name]) for name in lost)
             / sum(math.prod(shapes[name]) for name in linear))
    if share > FLOAT_SHARE:
        raise FormatError("\n".join([
            *(problems[name] for name in lost),
            f"{share:.0%} of the linear weights would stay float, more than {FLOAT_SHARE:.0%}",
            ALLOW,
        ]))


def estimate_memory(
    source: str | Path, calibration_tokens: int = 0, format: str = "int4"
) -> int:
    """Upper bound, in bytes, of the resident memory of a process that quantizes ``source``.

    ``format`` is the name of a format that occurs; int4 takes the most, as it loads compiled code.

    Plain rounding (no ``calibration_tokens``) passes blocks of rows through, whatever the model's
    size. Calibration keeps the residual stream of its tokens and works on a whole weight and its
    Hessian, layer by layer. Raises ``CheckpointError``.
    """
    with open_checkpoint(source) as checkpoint:
        rounding = _PROCESS_BYTES
        rounding += THREADS * _BYTES_PER_BLOCK_VALUE * _largest_block(checkpoint.tensors)
        largest = max(math.prod(info.shape) for info in checkpoint.tensors.values())
        if format == "int4" and largest >= COMPILED_VALUES:
            rounding += _COMPILED_BYTES
        if calibration_tokens == 0:
            return rounding
        config = checkpoint.config
        names = {name for layer in range(config.num_layers) for name in config.linears(layer)
                 if not name.startswith("mlp.experts.") or name.startswith("mlp.experts.0.")}
        shapes = [config.linear_shape(name) for name in names]   # of experts, one at a time
        weight = _BYTES_PER_WEIGHT * max(M * K for M, K in shapes)
        hessian = _BYTES_PER_HESSIAN_VALUE * max(K * K for _, K in shapes)
        layer = 8 * sum(M * K for M, K in shapes)   # quantized, and float beside it
        embedding = 4 * config.vocab_size * config.hidden_size
        streams = config.hidden_size * (2 if config.experts else 1)
        kept = 8 * (streams + config.num_heads * config.head_dim)
        return (rounding + _RUNTIME_BYTES + weight + hessian + layer + embedding
                + kept * calibration_tokens)


def _largest_block(tensors: Mapping[str, TensorInfo]) -> int:
    """Values in the largest block of rows."""
    shapes = [info.shape for info in tensors.values() if len(info.shape) == 2]
    return max(shape[1] * (row_blocks(shape)[0][1]) for shape in shapes)


def _problems(
    shapes: Mapping[str, tuple[int, ...]], formats: Mapping[str, Format | None]
) -> dict[str, str]:
    """The reasons why matrices cannot have their formats, by the name of the matrix."""
    problems = {}
    for name, form in formats.items():
        try:
            if form is not None:
                form.check(name, shapes[name])
        except FormatError as error:
            problems[name] = str(error)
    return problems
