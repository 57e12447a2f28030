"""Any ONNX model with the weights of its MatMul and Gemm nodes quantized, all else as it is."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

from ... import __version__
from ...errors import FormatError, OutputError
from ...tools.progress import SILENT, Progress
from ..checkpoint.files.floats import to_float32
from ..formats import Codes, Format, Ternary
from ..formats.grammar import StatedFormat, state_format
from ..methods import ROUNDING
from ..output.atomic import write_synced
from ..output.manifest import CheckpointSource, InputFile, TensorRecord
from ..pipeline import NOT_TRAINED_TERNARY
from ..pipeline.input_files import hashed
from ..plan.fitting import fit_format
from ..plan.plan import ALLOW, FLOAT_SHARE
from ..rounding.error_meter import ErrorMeter, errors_of
from ..rounding.weight_blocks import row_blocks
from .dequantize import DequantizeLayout, to_rows
from .matmul_nbits import NBitsLayout
from .model import OnnxModel, open_onnx
from .opset import raise_opset
from .output import ModelOutput
from .package import oldest_ir_version
from .payload import type_name
from .record import KeptWeight, OnnxManifest
from .rewrite import Rewriter
from .scopes import read_scopes
from .sink import TensorSink
from .store import PARTS, dequantize_tensors, nbits_tensors
from .structure import attributes_of, initializers_of, tensors_of
from .types import element_type
from .weights import FoundWeight, find_weights, misfit, reason_to_keep

__all__ = ["LAYOUTS", "quantize_onnx"]

# How weights are stored, and MatMulNBits' accuracy level.
LAYOUTS = {"qdq": None, "matmulnbits": 4, "matmulnbits-float": 0}
_STORED = {"FLOAT": "F32", "FLOAT16": "F16", "BFLOAT16": "BF16"}
_EMBEDDED_BYTES = 256 << 20   # of tensors; above, and where the source has some, a data file
_FILE_LIMIT = (2 << 30) - (1 << 20)   # a protocol buffer ends at 2 GiB
_OLDEST_IR = 4                # before it an initializer had to be an input as well


def quantize_onnx(
    source: str | Path, out: str | Path, format: Format | str, layout: str = "qdq",
    strict: bool = False, allow_float: bool = False, overwrite: bool = False,
    dry_run: bool = False, progress: Progress = SILENT,
) -> OnnxManifest:
    """Quantize the constant weights of MatMul and Gemm in an ONNX model, and say what was done.

    Weights are read one at a time. Beside ``out`` appear ``OUT.data`` if the source has external
    data or its tensors take more than 256 MiB, and ``OUT.manifest.json``.

    Parameters
    ----------
    source
        The model; whoever made it is not trusted, see ``open_onnx``.
    out
        The model to write.
    format
        The number format, an object or one string as ``quant.pipeline.quantize`` takes it; weights
        are rounded to nearest.
    layout
        ``qdq``: DequantizeLinear gives the weight, and the opset is raised where that needs it;
        ``matmulnbits``: onnxruntime's MatMulNBits takes the node's place, with int8 activations,
        or with float ones (``matmulnbits-float``).
    strict
        Refuse if any weight of a MatMul or Gemm has to stay float.
    allow_float
        Let any share of them that does not fit the format stay float. Without it more than 5 % of
        the values that the graph lets be quantized are refused.
    overwrite
        Replace what is there.
    dry_run
        Read no weight and write nothing.
    progress
        Is told how far the work has come.

    Raises
    ------
    CheckpointError
        The source is no model that can be read.
    FormatError
        ONNX or the layout does not have the format, no weight fits, one holds NaN or infinity,
        or the opset cannot be raised; with ``strict``, a weight that does not fit.
    OutputError
        ``out`` exists or cannot be written; nothing is left behind.
    """
    if layout not in LAYOUTS:
        raise FormatError(f"Layout {layout!r} is unknown; known are {', '.join(LAYOUTS)}")
    job = _Job(open_onnx(source), state_format(format), layout)
    if job.skipped and (strict or (job.float_share > FLOAT_SHARE and not allow_float)):
        raise FormatError("\n".join(job.complaints(strict)))
    if dry_run:
        return job.manifest([InputFile(path.name, path.stat().st_size, None)
                             for path in job.files], [each.record() for each in job.planned])
    return job.run(Path(out), overwrite, progress)


@dataclass(frozen=True)
class _Planned:
    """A weight, and how it will be stored."""

    weight: FoundWeight
    stored: DequantizeLayout | NBitsLayout

    @property
    def nbytes(self) -> int:
        """Bytes of the float weight."""
        return math.prod(self.weight.shape) * (4 if self.kind == "FLOAT" else 2)

    @property
    def kind(self) -> str:
        """The weight's type."""
        return type_name(self.weight.tensor)

    def record(self, meter: ErrorMeter | None = None) -> TensorRecord:
        """Its line of the manifest."""
        return TensorRecord(
            name=self.weight.name, shape=self.weight.shape, stored_before=_STORED[self.kind],
            format=self.stored.form.spec(), bytes_before=self.nbytes,
            bytes_after=self.stored.nbytes, nmse=meter.nmse if meter else None,
            max_abs_error=meter.max_abs_error if meter else None, output_nmse=None,
        )


class _Job:
    """One quantization, planned: the opset is settled and every weight's place is known."""

    def __init__(self, model: OnnxModel, stated: StatedFormat, layout: str) -> None:
        self._stated, self._form = stated, stated.form
        self._note: str | None = None
        self._layout = layout
        self._accuracy_level = LAYOUTS[layout]
        self._nbits = self._accuracy_level is not None
        if self._nbits:
            NBitsLayout(self._form, (1, 1))      # raises if it has no such numbers
        else:
            element_type(self._form)
        self._payloads = model.payloads
        self._opset_before = model.opset
        self._where = str(model.path)
        self.files = model.files()
        self._proto = model.proto
        self._old_ir = model.proto.ir_version < _OLDEST_IR
        self._plan()
        needed = 0 if self._nbits else max(
            each.stored.since for each in self.planned if isinstance(each.stored, DequantizeLayout))
        self._opset_after = max(needed, model.opset)
        if needed > model.opset:
            self._proto = raise_opset(model.proto, needed, self._where)
            self._plan()

    def _plan(self) -> None:
        """Find the weights and decide about each."""
        self._scopes = read_scopes(self._proto.graph)
        self.planned: list[_Planned] = []
        self.skipped: list[KeptWeight] = []
        self.kept: list[KeptWeight] = []
        self._unfit: list[KeptWeight] = []   # those of them that the format cannot hold
        found = find_weights(self._scopes)
        self._fit([weight for weight in found if weight.uses])
        for weight in found:
            if not weight.uses:
                readers = ", ".join(sorted(set(weight.others))) or "no node"
                self.kept.append(KeptWeight(weight.name, weight.shape, f"read by {readers}"))
            elif reason := reason_to_keep(weight, self._nbits, self._old_ir):
                self.skipped.append(KeptWeight(weight.name, weight.shape, reason))
            elif reason := misfit(weight, self._form):
                self._unfit.append(KeptWeight(weight.name, weight.shape, reason))
                self.skipped.append(self._unfit[-1])
            else:
                self.planned.append(_Planned(weight, self._stored(weight)))
        if not self.planned:
            reasons = "".join(f"\n{each.name}: {each.reason}" for each in self.skipped[:20])
            raise FormatError(
                f"{self._where} has no weight of MatMul or Gemm that can be quantized{reasons}"
            )

    def _fit(self, weights: list[FoundWeight]) -> None:
        """Settle the size of groups, where nobody gave one."""
        fitted = fit_format(self._stated, {weight.name: weight.matrix for weight in weights})
        self._form, self._note = fitted.form, fitted.note

    @property
    def float_share(self) -> float:
        """The share of values that the format cannot hold, out of those that the graph leaves."""
        planned = sum(math.prod(each.weight.shape) for each in self.planned)
        unfit = sum(math.prod(each.shape) for each in self._unfit)
        return unfit / (unfit + planned)

    def complaints(self, strict: bool) -> list[str]:
        """What is wrong with the weights that stay float, a sentence each."""
        each = [f"{self._where}: {kept.name} {list(kept.shape)} cannot be quantized: {kept.reason}"
                for kept in (self.skipped if strict else self._unfit)]
        return each if strict else [
            *each, f"{self.float_share:.0%} of these weights would stay float, more than "
            f"{FLOAT_SHARE:.0%}; {ALLOW}"
        ]

    def _stored(self, weight: FoundWeight) -> DequantizeLayout | NBitsLayout:
        if self._nbits:
            return NBitsLayout(self._form, (weight.shape[1 - weight.axis],
                                            weight.shape[weight.axis]))
        return DequantizeLayout(self._form, weight.shape, weight.axis)

    def run(self, out: Path, overwrite: bool, progress: Progress) -> OnnxManifest:
        """Write everything."""
        room = self.files[0].stat().st_size + self._total_bytes()
        data, manifest_name = f"{out.name}.data", f"{out.name}.manifest.json"
        external = len(self.files) > 1 or self._total_bytes() > _EMBEDDED_BYTES
        with ModelOutput(out, self.files, [data, manifest_name], room, overwrite) as output:
            progress.start(sum(path.stat().st_size for path in self.files)
                           + 2 * sum(each.nbytes for each in self.planned))
            self._check_numbers(progress)
            files = [hashed(path, progress.advance) for path in self.files]
            with ExitStack() as stack:
                place = output.partial(data) if external else None
                sink = stack.enter_context(TensorSink(place, data))
                records = self._write_tensors(sink, progress)
            self._write_model(output.path)
            manifest = self.manifest(files, records)
            write_synced(output.partial(manifest_name), manifest.to_json())
            output.commit()
        return manifest

    def _check_numbers(self, progress: Progress) -> None:
        """Raise ``FormatError`` at a weight that is not finite, before anything is written."""
        for each in self.planned:
            try:
                for _ in self._rows(each).blocks():
                    pass
            except FormatError as error:
                raise FormatError(f"{self._where}: {each.weight.name}: {error}") from None
            progress.advance(each.nbytes)

    def _rows(self, planned: _Planned) -> _Rows:
        weight = planned.weight
        return _Rows(self._payloads.read(weight.tensor), planned.kind, weight.axis)

    def _total_bytes(self) -> int:
        """Bytes of all tensors that stay, and of what takes the others' place."""
        places = (self._payloads.find(tensor) for tensor in tensors_of(self._proto))
        total = sum(place.length for place in places if place is not None)
        return total + sum(each.stored.nbytes - each.nbytes for each in self.planned
                           if each.weight.replaceable)

    def _write_tensors(self, sink: TensorSink, progress: Progress) -> list[TensorRecord]:
        """Quantize, change the graph, and bring along the tensors that stay."""
        rewriter = Rewriter(self._proto, self._scopes)
        records = []
        for each in self.planned:
            meter = ErrorMeter()
            try:
                self._quantize(each, rewriter, sink, meter, progress)
            except FormatError as error:
                raise FormatError(f"{self._where}: {each.weight.name}: {error}") from None
            records.append(each.record(meter))
            progress.finished(records[-1])
        self._bring_along(sink)
        rewriter.finish()
        return records

    def _quantize(
        self, planned: _Planned, rewriter: Rewriter, sink: TensorSink, meter: ErrorMeter,
        progress: Progress,
    ) -> None:
        weight, stored = planned.weight, planned.stored
        rows = self._rows(planned)
        statistics = self._form.statistics(rows.blocks())

        def encoded() -> Iterator[Codes]:
            for block in rows.blocks():
                codes = self._form.encode(block, statistics)
                meter.add(errors_of(block, self._form.dequantize(codes)))
                yield codes

        names = [rewriter.name(f"{weight.name}_{part}") for part in PARTS]
        if isinstance(stored, NBitsLayout):
            tensors = nbits_tensors(stored, encoded(), names, sink)
            assert self._accuracy_level is not None, "this layout has one"
            rewriter.multiply(weight, stored, tensors, self._accuracy_level)
        else:
            tensors = dequantize_tensors(stored, encoded(), names, sink)
            rewriter.dequantize(weight, stored, tensors)
        progress.advance(planned.nbytes)

    def _bring_along(self, sink: TensorSink) -> None:
        """Copy what lies outside of the skeleton: to the data file, or into the model.

        Tensors in attributes go into the model: not every reader looks for them outside.
        """
        for each in self.planned:
            if each.weight.replaceable:
                _empty(each.weight.tensor)   # it goes
        with TensorSink(None) as inside:
            for tensor in attributes_of(self._proto):
                self._move(tensor, inside)
        for tensor in initializers_of(self._proto):
            self._move(tensor, sink)

    def _move(self, tensor: TensorProto, sink: TensorSink) -> None:
        place = self._payloads.find(tensor)
        if place is None or place.file is None:
            return
        blocks = (np.frombuffer(block, np.uint8) for block in self._payloads.blocks(place))
        moved = sink.stored(
            tensor.name, type_name(tensor), tuple(tensor.dims), blocks, place.length
        )
        moved.doc_string = tensor.doc_string
        tensor.CopyFrom(moved)

    def _write_model(self, path: Path) -> None:
        proto = self._proto
        oldest = _OLDEST_IR
        if not self._nbits:
            types = (each.stored.type for each in self.planned
                     if isinstance(each.stored, DequantizeLayout))
            oldest = oldest_ir_version(max(kind.since for kind in types))
        proto.ir_version = max(proto.ir_version, oldest)
        if proto.ByteSize() > _FILE_LIMIT:
            raise OutputError(
                f"The model's graph takes {proto.ByteSize()} bytes with the constants in its "
                "nodes; a file of ONNX ends at 2 GiB"
            )
        with path.open("r+b") as file:   # it exists, empty and locked
            file.write(proto.SerializeToString(deterministic=True))
            file.flush()
            os.fsync(file.fileno())

    def manifest(self, files: list[InputFile], records: list[TensorRecord]) -> OnnxManifest:
        """The record of it all."""
        notes = (NOT_TRAINED_TERNARY,) if isinstance(self._form, Ternary) else ()
        if self._note:
            notes = (*notes, self._note)
        return OnnxManifest(
            trilobite_version=__version__,
            libraries={"python": platform.python_version(), "numpy": np.__version__,
                       "onnx": onnx.__version__},
            source=CheckpointSource(self.files[0].name, tuple(files)),
            format=self._form.spec(),
            method=ROUNDING,
            layout=self._layout,
            opset_before=self._opset_before,
            opset_after=self._opset_after,
            tensors=tuple(records),
            skipped=tuple(self.skipped),
            kept=tuple(self.kept),
            bytes_before=sum(each.nbytes for each in self.planned),
            bytes_after=sum(each.stored.nbytes for each in self.planned),
            warnings=notes,
        )


class _Rows:
    """A weight as a matrix whose rows run along the summed axis, in blocks of float32."""

    def __init__(self, stored: np.ndarray, kind: str, axis: int) -> None:
        self._rows = to_rows(stored, axis)
        self._dtype = _STORED[kind]

    def blocks(self) -> Iterator[np.ndarray]:
        """Finite rows; raises ``FormatError`` at NaN or infinity."""
        for start, stop in row_blocks(self._rows.shape):
            block = to_float32(np.ascontiguousarray(self._rows[start:stop]), self._dtype)
            if not np.isfinite(block).all():
                raise FormatError("NaN or infinity cannot be quantized")
            yield block


def _empty(tensor: TensorProto) -> None:
    """Nothing is left of a tensor but its name."""
    name = tensor.name
    tensor.Clear()
    tensor.name, tensor.data_type = name, TensorProto.FLOAT
    tensor.dims.append(0)
