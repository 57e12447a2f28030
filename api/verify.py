"""Simulate the hardware's RTL beside the runtime, bit by bit; count cycles of large models."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import TrilobiteError
from ..fpga.compiler import Program, compile_model
from ..quant.checkpoint import Checkpoint, open_checkpoint
from ..quant.formats import Ternary
from ..quant.formats.base import PackedWeight
from ..runtime.decoder import Decoder
from ..runtime.language_model import Session
from ..sim.descriptions.accelerator import AcceleratorDescription, load_accelerator
from ..sim.verify.board.simulated_board import DRAM
from ..sim.verify.decoder import DecoderReport, StepResult
from ..sim.verify.decoder import verify_decoder as simulate_decoder
from ..sim.verify.engine import EngineProblem, VerifyReport, verify_tlmm
from ..sim.verify.random_matrices import linear_shapes, random_matrices
from ..tools.progress import SILENT, Progress
from ..tools.scratch import scratch_folder
from .models import load
from .shapes import Model, find_shapes
from .ternary import ternary_copy

__all__ = ["TimedEngine", "VerifiedDecoder", "VerifiedEngine", "time_engine", "verify_decoder",
           "verify_engine"]

PROMPT = "def main(arguments):"


@dataclass(frozen=True)
class VerifiedEngine:
    """The engine beside the runtime on the matrices of one layer, for ``tokens`` tokens."""

    model: str
    layer: int
    tokens: int
    report: VerifyReport

    @property
    def equal(self) -> bool:
        """Every sum is the runtime's."""
        return self.report.mismatches == 0

    def to_json(self) -> dict[str, Any]:
        """JSON values: those of ``VerifyReport``, and what was asked for."""
        return {**self.report.to_json(), "model": self.model, "layer": self.layer,
                "tokens": self.tokens, "tokens_equal": self.equal}


@dataclass(frozen=True)
class TimedEngine:
    """The engine on random matrices, and the versions of the ``tools`` that simulated it."""

    report: VerifyReport
    tools: dict[str, str]


@dataclass(frozen=True)
class VerifiedDecoder:
    """The accelerator beside the runtime, token for token.

    ``text`` is what it wrote, ``memory`` the bytes of its image, ``seconds`` what building and
    simulating took.
    """

    model: str
    hardware: str
    prompt_tokens: int
    new_tokens: int
    seconds: float
    report: DecoderReport
    text: str
    memory: int
    warnings: tuple[str, ...]

    @property
    def equal(self) -> bool:
        """Every residual stream and every token is the runtime's."""
        return self.report.equal

    @property
    def prefill(self) -> tuple[StepResult, ...]:
        """The steps of the prompt."""
        return tuple(step for step in self.report.steps if step.position < self.prompt_tokens)

    @property
    def decode(self) -> tuple[StepResult, ...]:
        """The steps after the prompt."""
        return tuple(step for step in self.report.steps if step.position >= self.prompt_tokens)

    def to_json(self) -> dict[str, Any]:
        """JSON values: those of ``DecoderReport``, and what was asked for."""
        return {"model": self.model, "hardware": self.hardware,
                "prompt_tokens": self.prompt_tokens, "new_tokens": self.new_tokens,
                "seconds": self.seconds, **self.report.to_json()}


def verify_engine(
    model: str | Path, layer: int = 0, prompt: str = PROMPT, tokens: int = 4,
    simulator: str = "verilator", stall: float = 0.3, seed: int = 0,
    waves: str | Path | None = None, hardware: str = "tlmm-kv260", progress: Progress = SILENT,
) -> VerifiedEngine:
    """Compare every sum of a layer's matmuls on the table-lookup engine with the runtime's.

    Parameters
    ----------
    model
        A ternary model's folder, or ``demo-bitnet``.
    layer
        The decoder layer whose matrices are taken.
    prompt, tokens
        The activations are those of the first ``tokens`` tokens of ``prompt``.
    simulator, stall, seed, waves
        As ``sim.verify.engine.verify_tlmm`` takes them.
    hardware
        An accelerator's description by name, or a .toml file.
    progress
        Is told of each run.

    Raises
    ------
    TrilobiteError
        The model is not ternary or has no such layer, or an option is out of range.
    ToolError
        A tool is missing, or the simulation failed. A wrong sum raises nothing.
    """
    if not 0.0 <= stall < 1.0:
        raise TrilobiteError(f"--stall is a probability below 1, not {stall}")
    parameters = load_accelerator(hardware).engine
    progress.doing("Running the model")
    matrices = layer_matrices(str(model), layer, prompt, tokens)
    target = None if waves is None else Path(waves)
    report = verify_tlmm(matrices, parameters, simulator, stall, seed, target, progress)
    return VerifiedEngine(str(model), layer, tokens, report)


def layer_matrices(model: str, layer: int, prompt: str, tokens: int) -> list[EngineProblem]:
    """The seven ternary matrices of ``layer`` with what the runtime feeds them and gets out.

    The activations are those of the first ``tokens`` tokens of ``prompt``. Raises as
    ``verify_engine`` does.
    """
    if tokens < 1:
        raise TrilobiteError(f"At least 1 token is needed, not {tokens}")
    loaded = load(model)
    traces = loaded.trace(loaded.tokenizer.encode(prompt)[:tokens], layer)
    with open_checkpoint(model) as checkpoint:
        return [
            EngineProblem(trace.name, _trits(checkpoint, trace.name).codes().values,
                   trace.activations, trace.sums)
            for trace in traces
        ]


def _trits(checkpoint: Checkpoint, name: str) -> PackedWeight:
    weight = checkpoint.weight(f"{name}.weight")
    if not isinstance(weight, PackedWeight) or not isinstance(weight.format, Ternary):
        raise TrilobiteError(
            f"{checkpoint.folder}: {name} is not ternary, and the table-lookup engine multiplies "
            "ternary weights; quantize the model with --format ternary"
        )
    return weight


def time_engine(
    models: Model | Sequence[Model], hardware: str | AcceleratorDescription = "tlmm-kv260",
    progress: Progress = SILENT,
) -> TimedEngine:
    """Simulate the engine on random ternary matrices of the models' shapes, one token each.

    Raises
    ------
    TrilobiteError
        There is no such model or accelerator, or the engine is too small for a matrix.
    ToolError
        A tool is missing, or the simulation failed. A wrong sum raises nothing.
    """
    described = load_accelerator(hardware) if isinstance(hardware, str) else hardware
    found = find_shapes([models] if isinstance(models, Model) else models)
    matrices = random_matrices(linear_shapes(shape.config for shape in found.shapes))
    report = verify_tlmm(matrices, described.engine, progress=progress)
    return TimedEngine(
        report, {name: version(name) for name in ("amaranth", "cocotb", "verilator")})


def verify_decoder(
    model: str | Path, prompt: str = PROMPT, new_tokens: int = 16, tokens: int | None = None,
    waves: str | Path | None = None, hardware: str = "demo", progress: Progress = SILENT,
) -> VerifiedDecoder:
    """Compare the whole accelerator with the runtime: prefill and decode, layer for layer.

    Parameters
    ----------
    model
        The folder of a model in a format that the accelerator multiplies by, or master weights that
        were trained ternary, of which a ternary copy is taken.
    prompt, tokens
        The first ``tokens`` tokens of ``prompt``; None takes all.
    new_tokens
        How many to generate.
    waves
        Record all signals in this .fst or .vcd file.
    hardware
        An accelerator by name, or a .toml file.
    progress
        Is told of each step.

    Raises
    ------
    TrilobiteError
        The model is not ternary, or the accelerator cannot run it or not so many tokens.
    ToolError
        A tool is missing, or the simulation failed. A difference raises nothing.
    """
    parameters = load_accelerator(hardware).whole()
    with scratch_folder() as scratch:
        progress.doing("Running the model")
        folder, warnings = ternary_copy(str(model), scratch / "model", "verified")
        loaded = load(folder)
        ids = loaded.tokenizer.encode(prompt)[:tokens]
        with open_checkpoint(folder) as checkpoint:
            program = compile_model(checkpoint.config, checkpoint.weight, parameters,
                                    len(ids) + new_tokens, keep_residuals=True)
        began = time.perf_counter()
        reference = Runtime(loaded.decoder, loaded.session(len(ids) + new_tokens))
        report = simulate_decoder(program, ids, new_tokens, reference, DRAM,
                                  None if waves is None else Path(waves), progress)
        seconds = time.perf_counter() - began
        text = loaded.tokenizer.decode(list(report.tokens))
    return VerifiedDecoder(str(model), hardware, len(ids), new_tokens, seconds, report, text,
                           _bytes(program), warnings)


def _bytes(program: Program) -> int:
    return program.memory.words * program.parameters.word_bytes


class Runtime:
    """A decoder and its session as ``sim.verify.decoder.Reference``."""

    def __init__(self, decoder: Decoder, session: Session) -> None:
        self._decoder, self._session = decoder, session

    def feed(self, token_ids: Sequence[int]) -> tuple[list[np.ndarray], int]:
        """Feed tokens; residual streams and the next token, as ``Reference.feed`` says."""
        seen: dict[str, np.ndarray] = {}
        logits = self._session.feed(token_ids, seen.__setitem__)
        layers = range(self._decoder.config.num_layers)
        residuals = [self._decoder.embedding(np.asarray(token_ids)),
                     *(seen[f"model.layers.{layer}.output"] for layer in layers)]
        return residuals, int(np.argmax(logits[-1]))
