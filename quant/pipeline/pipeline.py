"""From a checkpoint to a quantized folder, one row block at a time."""

from __future__ import annotations

import math
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ... import __version__
from ...errors import FormatError
from ...tools.json_text import json_text
from ...tools.progress import SILENT, Progress
from ..checkpoint import DEMOS, Checkpoint, open_checkpoint
from ..formats import Format, GroupedTernary, Int4, Ternary
from ..formats.grammar import StatedFormat, state_format
from ..methods import ROUNDING, CalibrationSource, Method, choose_method
from ..output.atomic import OutputFolder, write_synced
from ..output.manifest import CheckpointSource, InputFile, Manifest, TensorRecord, Totals
from ..output.safetensors_writer import TensorEntry, safetensors_bytes
from ..plan.fitting import GROUP, Fitted, ask_for_format, fit_format
from ..plan.mixed import allocate, parse_rule
from ..plan.plan import Leniency, Plan, PlannedTensor, check_source, estimate_memory, plan_tensors
from ..plan.sensitivity import measure_choices
from .calibrated import LayersWritten, write_layers
from .convert import report_restored, write_tensor
from .expert_counts import starved_experts
from .finite import check_numbers, float_bytes
from .input_files import InputHashes, total_size
from .journal import JOURNAL, ResumableWriter, continues, journal_key
from .scaled import write_scaled_layers

__all__ = ["NOT_TRAINED_TERNARY", "estimate_memory", "quantize"]

_TERNARY = (Ternary, GroupedTernary)

NOT_TRAINED_TERNARY = (
    "THIS MODEL WAS NOT TRAINED TERNARY. Plainly rounding its weights to -1, 0 and 1 makes it far "
    "worse: perplexity rises several times on the smallest models and by orders of magnitude on "
    "large ones. Use int4, int8 or fp8, a checkpoint trained as BitNet, or, where it must be "
    "ternary, --format ternary-group with --method itf, or ternary-planes with --method gptq."
)


def quantize(
    source: str | Path,
    out: str | Path,
    format: Format | str | None = None,
    *,
    method: str = ROUNDING,
    calibration: CalibrationSource | None = None,
    embedding: Literal["int8", "keep"] = "int8",
    tensor_formats: Sequence[str] = (),
    target_bpw: float | None = None,
    strict: bool = False,
    allow_float: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> Manifest:
    """Write a quantized copy of a checkpoint and say what was done.

    Linear weights of the layers get ``format``; norms and biases keep their type. Rounded tensors
    pass through in row blocks, so memory does not grow with the model; methods that calibrate take
    a weight at a time (``estimate_memory``). The folder ``out`` appears only when it is complete;
    if the process is killed, the same call continues after the tensors that are finished.

    Parameters
    ----------
    source
        A checkpoint folder, a GGUF file, or ``demo-bitnet`` / ``demo-llama``.
    out
        The folder to write: model.safetensors, config.json, manifest.json, tokenizer.
    format
        An object, ``Int4(group_size=64, symmetric=False)``, or one string,
        ``"int4,group_size=64,asymmetric"`` (``formats.grammar``). A group size that a string does
        not give is the largest that fits, at most the format's default. None is ternary for a model
        that was trained so, and an error for any other.
    method
        How the codes are chosen: ``rtn``, each weight to its nearest, or ``gptq``, which lets the
        weights of a row make up for each other's errors on calibration text, ``itf``, the same
        for ternary-group, or ``awq``, which scales up the columns that read large inputs; or
        ``cas``, which needs no text and scales up the columns of small weights.
    calibration
        That text, from ``trilobite.calibration``; ``rtn`` and ``cas`` need none.
    embedding
        The embedding and an untied head: ``int8`` per row, or ``keep`` their type, or codes.
    tensor_formats
        Rules ``RE=FORMAT`` for single matrices (see ``mixed.parse_rule``); a later one wins. A
        format that ``method`` does not make is rounded to.
    target_bpw
        Stored bits per linear weight: the formats are chosen per weight out of int2, int3, int4 and
        int8, to spend bits where they take away most error (``mixed.allocate``); by the error of
        outputs where ``calibration`` is given. Goes without ``format``.
    strict
        A tensor that does not fit its format is an error.
    allow_float
        Any number of tensors that do not fit may stay float. Without it that is an error where
        their group size was given, or they are over 5 % of the linear weights.
    overwrite
        Replace an ``out`` that Trilobite wrote; until the new one is complete the old one stays.
    dry_run
        Read no weight and write nothing; the manifest has sizes, but no errors and no hashes.
    progress
        Is told how far the work has come: bytes, and each tensor's ``TensorRecord``.

    Raises
    ------
    CheckpointError
        The source is missing, damaged, not understood, or quantized already.
    FormatError
        There is no format, or an option that it does not have; too much does not fit it.
    OutputError
        ``out`` exists, overlaps the source, or cannot be written; nothing is left behind.
    """
    stated = None if format is None else state_format(format)
    rules = [parse_rule(text) for text in tensor_formats]
    if target_bpw is not None:
        _check_target(target_bpw, stated)
    with open_checkpoint(source) as checkpoint:
        name = str(source) if str(source) in DEMOS else checkpoint.folder.resolve().name
        check_source(checkpoint)
        fitted = _linear_format(checkpoint, name, stated, target_bpw)
        chosen = choose_method(method, fitted.form)
        calibrates = chosen is not None and chosen.calibrates
        if calibrates and calibration is None:
            raise FormatError(
                f"Method {method} needs calibration text: pass "
                "calibration=trilobite.calibration(...)"
            )
        if not calibrates and target_bpw is None:
            calibration = None
        linear = dict.fromkeys(checkpoint.config.linear_weights(), fitted.form)
        if target_bpw is not None:
            linear = _meet_target(checkpoint, target_bpw, calibration, progress)
        given = stated is not None and GROUP in stated.given
        plan = plan_tensors(checkpoint, linear, given, embedding, rules,
                            Leniency(strict, allow_float))
        if fitted.note:
            plan = replace(plan, warnings=(fitted.note, *plan.warnings))
        job = _Job(checkpoint, name, fitted.form, embedding, plan, chosen, calibration,
                   tuple(tensor_formats), target_bpw)
        if dry_run:
            return job.dry_run()
        key = job.key()
        output = OutputFolder(
            Path(out), checkpoint.folder, job.needed_bytes(), overwrite,
            lambda folder: continues(folder, key),
        )
        with output:
            if output.started_over:
                progress.note(
                    f"{output.path.name}, left by a killed run, was for other options, inputs or "
                    "versions: starting over"
                )
            checked = 0 if output.resumed else float_bytes(checkpoint)   # the killed run has
            progress.start(checked + job.total_bytes())
            if checked:
                check_numbers(checkpoint, job.inputs(), progress)
            manifest = job.run(output.path, key, progress)
            output.commit()
        return manifest


def _check_target(target_bpw: float, stated: StatedFormat | None) -> None:
    """Raise ``FormatError`` for a format beside a target, or a target that makes no sense."""
    if stated is not None:
        raise FormatError(
            f"A target of {target_bpw:g} bits chooses the format of each weight; leave out "
            f"format {stated.form} (tensor_formats can still fix single ones)"
        )
    if not 1 <= target_bpw <= 16:   # also of NaN
        raise FormatError(f"target_bpw must be 1 to 16 bits per weight, not {target_bpw}")


def _linear_format(
    checkpoint: Checkpoint, name: str, stated: StatedFormat | None, target_bpw: float | None
) -> Fitted:
    """The format of the linear weights; what stands for it where each weight gets its own."""
    if target_bpw is not None:
        return Fitted(Int4())
    if stated is None:
        if not checkpoint.config.bitlinear:
            raise ask_for_format(checkpoint, name)
        return Fitted(Ternary())
    names = checkpoint.config.linear_weights()
    return fit_format(stated, {each: checkpoint.tensors[each].shape for each in names})


def _meet_target(
    checkpoint: Checkpoint, target_bpw: float, calibration: CalibrationSource | None,
    progress: Progress,
) -> dict[str, Format]:
    """The format of each linear weight; tells ``progress`` how many got which."""
    names = checkpoint.config.linear_weights()
    weights = sum(math.prod(checkpoint.tensors[name].shape) for name in names)
    chosen = allocate(measure_choices(checkpoint, calibration), target_bpw, weights)
    bits = sum(choice.bits for choice in chosen.values()) / weights
    counts = Counter(choice.format.name for choice in chosen.values())
    shares = ", ".join(f"{counts[name]} {name}" for name in sorted(counts))
    by = "the outputs" if calibration else "the weights"
    progress.note(f"{bits:.3f} bits per linear weight, by the error of {by}: {shares}")
    return {name: choice.format for name, choice in chosen.items()}


@dataclass(frozen=True)
class _Job:
    """One quantization: what to read, and what becomes of it."""

    checkpoint: Checkpoint
    source_name: str
    form: Format
    embedding: str
    plan: Plan
    method: Method | None
    calibration: CalibrationSource | None
    tensor_formats: tuple[str, ...]
    target_bpw: float | None

    @property
    def planned(self) -> list[PlannedTensor]:
        """Every tensor in order."""
        return self.plan.tensors

    def inputs(self) -> list[Path]:
        """Every file that is read or copied, by name."""
        folder = self.checkpoint.folder
        copied = [folder / name for name in self.companions] if folder.is_dir() else []
        copied = [path for path in copied if path.exists()]   # a tokenizer.json may be made
        return sorted({*self.checkpoint.inputs, *copied}, key=lambda path: path.name)

    @cached_property
    def companions(self) -> dict[str, bytes]:
        """The files that go along, unchanged or made of such."""
        return self.checkpoint.companions()

    def stored(self) -> dict[str, TensorEntry]:
        """All tensors of the new file."""
        return {name: entry for tensor in self.planned for name, entry in tensor.stored().items()}

    def needed_bytes(self) -> int:
        """Room that the new folder takes, rounded up."""
        manifest = 1000 * len(self.planned)
        companions = sum(map(len, self.companions.values()))
        return safetensors_bytes(self.stored()) + companions + manifest

    def total_bytes(self) -> int:
        """What ``Progress.advance`` will count in ``run``: files hashed and tensors read."""
        return total_size(self.inputs()) + sum(tensor.info.nbytes for tensor in self.planned)

    def dry_run(self) -> Manifest:
        """The manifest as far as it is known without reading weights."""
        files = [InputFile(path.name, path.stat().st_size, None) for path in self.inputs()]
        return self.manifest(files, [tensor.record() for tensor in self.planned])

    def key(self) -> str:
        """The hash of inputs and options with which an unfinished folder must have been begun.

        Inputs by size and time of change: their hashes are known only at the end.
        """
        states = [(path, path.stat()) for path in self.inputs()]
        return journal_key({
            "files": [[str(p.resolve()), s.st_size, s.st_mtime_ns] for p, s in states],
            "config": self.config(),
            "manifest": asdict(self.manifest([], [tensor.record() for tensor in self.planned])),
        })

    def run(self, folder: Path, key: str, progress: Progress) -> Manifest:
        """Write all files into ``folder``."""
        inputs = self.inputs()
        with (
            InputHashes(inputs, once=self.method is None) as hashes,
            ResumableWriter(folder, self.stored(), key, self.planned) as writer,
        ):
            if writer.restored:
                progress.note(
                    f"Going on after a killed run: {len(writer.restored)} of {len(self.planned)} "
                    "tensors are finished"
                )
            written = self.write_tensors(writer, hashes, progress)
            files = hashes.files(progress)
        for name, content in self.companions.items():
            write_synced(folder / name, content)
        write_synced(folder / "config.json", json_text(self.config()) + "\n")
        manifest = self.manifest(files, list(written.records.values()), written.tokens_per_expert)
        write_synced(folder / "manifest.json", manifest.to_json())
        (folder / JOURNAL).unlink()
        return manifest

    def write_tensors(
        self, writer: ResumableWriter, hashes: InputHashes, progress: Progress
    ) -> LayersWritten:
        """Write everything; the records in the order of the model."""
        layers: dict[str, TensorRecord] = {}
        tokens_per_expert: dict[int, list[int]] = {}
        planned = {tensor.name: tensor for tensor in self.planned}
        if self.method is not None and self.method.calibrates:
            assert self.calibration is not None, "a method that calibrates was given a text"
            written = write_layers(
                self.checkpoint, planned, self.method, self.calibration, writer, progress
            )
            layers, tokens_per_expert = written.records, written.tokens_per_expert
        elif self.method is not None:
            layers = write_scaled_layers(self.checkpoint, planned, writer, progress)
        records = {}
        for tensor in self.planned:
            record = layers.get(tensor.name) or self.write_tensor(tensor, writer, progress)
            records[tensor.name] = record
            hashes.let_go(tensor.info)
        return LayersWritten(records, tokens_per_expert)

    def write_tensor(
        self, tensor: PlannedTensor, writer: ResumableWriter, progress: Progress
    ) -> TensorRecord:
        """Write one tensor, unless an earlier run has."""
        record = writer.restored.get(tensor.name)
        if record is not None:
            report_restored(tensor, record, progress)
            return record
        record = write_tensor(self.checkpoint, tensor, writer, progress)
        writer.finish(tensor, record)
        return record

    def config(self) -> dict[str, Any]:
        """config.json of the new folder: the source's, with how each weight is stored."""
        config = dict(self.checkpoint.raw_config)
        before = config.pop("quantization_config", None)
        if before is not None and before["quant_method"] == "bitnet":
            config["source_quantization_config"] = before
        config["quantization_config"] = {
            "quant_method": "trilobite",
            "version": 1,
            "format": self.form_spec()["format"],
            "tensors": {
                tensor.name: tensor.format.spec() for tensor in self.planned if tensor.format
            },
        }
        return config

    def form_spec(self) -> dict[str, Any]:
        """The format of the linear weights, as far as they have one in common."""
        return self.form.spec() if self.target_bpw is None else {"format": "mixed"}

    def manifest(
        self, files: list[InputFile], records: list[TensorRecord],
        tokens_per_expert: Mapping[int, list[int]] | None = None,
    ) -> Manifest:
        """The record of it all."""
        warnings = (*self.plan.warnings, *starved_experts(tokens_per_expert or {}))
        if self.rounds_to_ternary():
            warnings = (NOT_TRAINED_TERNARY, *warnings)
        return Manifest(
            trilobite_version=__version__,
            libraries={"python": platform.python_version(), "numpy": np.__version__},
            source=CheckpointSource(self.source_name, tuple(files)),
            format=self.form_spec(),
            method=self.method.name if self.method else ROUNDING,
            calibration=self.described_calibration(tokens_per_expert),
            embedding=self.embedding,
            tensor_formats=self.tensor_formats,
            target_bits_per_weight=self.target_bpw,
            tensors=tuple(records),
            totals=self.totals(records),
            warnings=warnings,
        )

    def described_calibration(
        self, tokens_per_expert: Mapping[int, list[int]] | None
    ) -> dict[str, Any] | None:
        """What the manifest says of the text."""
        if self.calibration is None:
            return None
        described = self.calibration.describe()
        if tokens_per_expert:
            counts = {str(layer): counts for layer, counts in tokens_per_expert.items()}
            described["tokens_per_expert"] = counts
        return described

    def rounds_to_ternary(self) -> bool:
        """Whether plain rounding makes trits of a model that was not trained with them."""
        if self.checkpoint.config.bitlinear:
            return False
        names = set(self.checkpoint.config.linear_weights())
        return any(
            isinstance(tensor.format, _TERNARY)
            and not (self.method and self.method.calibrates
                     and isinstance(tensor.format, self.method.formats))
            for tensor in self.planned if tensor.name in names
        )

    def totals(self, records: list[TensorRecord]) -> Totals:
        """Sums over ``records``."""
        names = set(self.checkpoint.config.linear_weights())
        linear = [record for record in records if record.name in names]
        weights = sum(math.prod(record.shape) for record in records)
        linear_weights = sum(math.prod(record.shape) for record in linear)
        file_bytes = safetensors_bytes(self.stored())
        return Totals(
            weights=weights,
            linear_weights=linear_weights,
            bytes_before=sum(record.bytes_before for record in records),
            bytes_after=sum(record.bytes_after for record in records),
            file_bytes=file_bytes,
            linear_bits_per_weight=8 * sum(r.bytes_after for r in linear) / linear_weights,
            bits_per_weight=8 * file_bytes / weights,
        )
