"""Prove in simulation that the accelerator generates what the runtime generates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ...errors import ToolError, TrilobiteError
from ...fpga.compiler import Program
from ...fpga.runs import RunError
from ...tools.progress import SILENT, Progress
from ..descriptions.ddr_timing import DdrTiming
from .bench import build
from .bench.program_bench import ProgramBench
from .bench.program_run import Dump, Run, RunResult, run_accelerator

__all__ = ["DecoderReport", "Reference", "StepResult", "verify_decoder"]


class Reference(Protocol):
    """The runtime's side: a sequence that is fed token by token."""

    def feed(self, token_ids: Sequence[int]) -> tuple[list[np.ndarray], int]:
        """Append tokens; residual streams and the token with the largest logit.

        The residual streams are those before layer 0 and after each layer, float32 [tokens,
        hidden_size].
        """


@dataclass(frozen=True)
class StepResult:
    """One step: a prefill of several tokens, or a token of decoding.

    ``residuals_equal`` has a flag for the embedding and for each layer: every bit of every token's
    residual stream is the runtime's. ``token`` is what was chosen; None where the prompt goes on.
    """

    position: int
    tokens: int
    residuals_equal: tuple[bool, ...]
    token: int | None
    expected_token: int | None
    counts: dict[str, int]

    @property
    def equal(self) -> bool:
        """Everything is the runtime's."""
        return all(self.residuals_equal) and self.token == self.expected_token


@dataclass(frozen=True)
class DecoderReport:
    """All steps, and what a run of all of them by the accelerator alone gave."""

    steps: tuple[StepResult, ...]
    tokens: tuple[int, ...]
    expected_tokens: tuple[int, ...]
    counts: dict[str, int]

    @property
    def equal(self) -> bool:
        """Every step and the whole run are the runtime's."""
        return all(step.equal for step in self.steps) and self.tokens == self.expected_tokens

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values: ``tokens_equal``, ``steps``, ``tokens``, ``counts``."""
        return {"tokens_equal": self.equal, **asdict(self)}


def verify_decoder(
    program: Program, prompt: Sequence[int], new_tokens: int, reference: Reference,
    timing: DdrTiming | None = None, waves: Path | None = None,
    progress: Progress = SILENT,
) -> DecoderReport:
    """Run a program step by step beside the runtime, then once more in one go.

    Parameters
    ----------
    program
        Of ``compile_model`` with ``keep_residuals``.
    prompt, new_tokens
        Token ids, and how many to generate: at least one.
    reference
        The runtime, at the same state.
    timing
        Of the memory.
    waves
        Record all signals in this file.
    progress
        Is told of each step that is done.

    Raises
    ------
    TrilobiteError
        There is nothing to do, or more than the program has room for.
    ToolError
        A tool is missing, the simulation failed, or a run reported an error.
    """
    if not prompt or new_tokens < 1:
        raise TrilobiteError("At least one token of prompt and one new token are needed")
    room = program.memory.regions["tokens"].words * program.parameters.word_bytes // 4
    if len(prompt) + new_tokens > room:
        raise TrilobiteError(f"{len(prompt)} tokens and {new_tokens} new ones are more than the "
                             f"{room} that the program has room for")
    expected = _expected(program, prompt, new_tokens, reference)
    runs = [_run(program, position, len(ids), int(token is not None), _dumps(program, len(ids)))
            for position, ids, _, token in expected]
    runs += _prefills(program, len(prompt), new_tokens)
    progress.start(len(runs), "Building the accelerator")
    depth = 1 << (program.memory.words - 1).bit_length()
    engine = build(ProgramBench(program.parameters, depth, timing or DdrTiming()),
                   "accelerator", "verilator", waves.suffix if waves else None)
    progress.doing("Simulating")
    results = run_accelerator(engine, _image(program, prompt), runs, waves, progress=progress)
    for run, result in zip(runs, results, strict=False):
        if result.error != RunError.NONE:
            raise ToolError(f"The accelerator reported {result.error.name} at {result.failed} in "
                            f"the step of {run.tokens} tokens at position {run.position}")
    steps = tuple(_compare(program, step, result)
                  for step, result in zip(expected, results, strict=False))
    chosen = tuple(token for _, _, _, token in expected if token is not None)
    whole = results[len(expected):]
    tokens = _tokens(program, whole[-1])[len(prompt):len(prompt) + new_tokens]
    counts = {name: sum(result.counts[name] for result in whole) for name in whole[-1].counts}
    return DecoderReport(steps, tuple(int(token) for token in tokens), chosen[-new_tokens:], counts)


def _expected(program: Program, prompt: Sequence[int], new_tokens: int, reference: Reference,
              ) -> list[tuple[int, list[int], list[np.ndarray], int | None]]:
    """Per step: position, token ids, residuals, and the runtime's next token."""
    most = program.parameters.max_tokens
    steps: list[tuple[int, list[int], list[np.ndarray], int | None]] = []
    token: int | None
    for position in range(0, len(prompt), most):
        ids = list(prompt[position:position + most])
        residuals, token = reference.feed(ids)
        ends = position + len(ids) == len(prompt)
        steps.append((position, ids, residuals, token if ends else None))
    for number in range(new_tokens - 1):
        token = steps[-1][3]
        assert token is not None, "a step chose none"
        steps.append((len(prompt) + number, [token], *reference.feed([token])))
    return steps


def _run(program: Program, position: int, tokens: int, new_tokens: int,
         dumps: tuple[Dump, ...]) -> Run:
    return Run(program.word("program"), program.word("tiles"), len(program.tiles), tokens,
               position, new_tokens, dumps=dumps)


def _prefills(program: Program, prompt: int, new_tokens: int) -> list[Run]:
    """The whole generation: pieces of the prompt, the last of which goes on to decode."""
    most = program.parameters.max_tokens
    runs = [_run(program, position, min(most, prompt - position), 0, ())
            for position in range(0, prompt, most)]
    last = runs.pop()
    return [*runs, _run(program, last.position, last.tokens, new_tokens, (_token_dump(program),))]


def _token_dump(program: Program) -> Dump:
    region = program.memory.regions["tokens"]
    return Dump("tokens", region.start, region.words)


def _dumps(program: Program, tokens: int) -> tuple[Dump, ...]:
    rows = tuple(Dump(f"residual.{number}", program.word(f"residual.{number}"),
                      tokens * program.row_words) for number in range(program.layers + 1))
    return (*rows, _token_dump(program))


def _image(program: Program, prompt: Sequence[int]) -> list[tuple[int, np.ndarray]]:
    region = program.memory.regions["tokens"]
    words = np.zeros((region.words, program.parameters.word_bytes), np.uint8)
    words.reshape(-1).view("<i4")[:len(prompt)] = prompt
    return [*program.memory.image(), (region.start, words)]


def _tokens(program: Program, result: RunResult) -> np.ndarray:
    return np.ascontiguousarray(result.dumps["tokens"]).reshape(-1).view("<i4")


def _compare(program: Program, step: tuple, result: RunResult) -> StepResult:
    position, ids, residuals, token = step
    equal = []
    for number, expected in enumerate(residuals):
        rows = np.ascontiguousarray(result.dumps[f"residual.{number}"]).view(np.uint32)
        rows = rows.reshape(len(ids), -1)[:, :program.config.hidden_size]
        equal.append(bool(np.array_equal(rows, expected.view(np.uint32))))
    chosen = None if token is None else int(_tokens(program, result)[position + len(ids)])
    return StepResult(position, len(ids), tuple(equal), chosen, token, result.counts)
