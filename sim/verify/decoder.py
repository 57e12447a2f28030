"""Prove in simulation that the accelerator generates what the runtime generates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ...errors import ToolError, TrilobiteError
from ...fpga.compiler import Program
from ...fpga.image import image_of
from ...host.driver import Driver, Run, RunFailed, runs_of
from ...tools.progress import SILENT, Progress
from ..descriptions.ddr_timing import DdrTiming
from .board.simulated_board import SimulatedBoard, build_board

__all__ = ["DecoderReport", "Reference", "StepResult", "compare_decoder", "verify_decoder"]

_NAME = "the model"
_PATIENCE = 24 * 3600.0   # seconds for a step


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
    progress: Progress = SILENT, optimize: bool = True,
) -> DecoderReport:
    """Run a program step by step beside the runtime, then once more in one go.

    The accelerator is the one that is built for a board, run through its registers by the host
    program, with its memory at its AXI port.

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
    optimize
        Build the simulator for a fast simulation, else for a fast build.

    Raises
    ------
    TrilobiteError
        There is nothing to do, or more than the program has room for.
    ToolError
        A tool is missing, the simulation failed, or a run reported an error.
    """
    _check(program, prompt, new_tokens)
    progress.doing("Building the accelerator")
    built = build_board(program.parameters, image_of(program, _NAME, len(prompt)).nbytes,
                        timing or DdrTiming(), waves.suffix if waves else None, optimize)
    with SimulatedBoard(built, waves) as board:
        return compare_decoder(Driver(board, _PATIENCE), program, prompt, new_tokens, reference,
                               progress)


def compare_decoder(driver: Driver, program: Program, prompt: Sequence[int], new_tokens: int,
                    reference: Reference, progress: Progress = SILENT) -> DecoderReport:
    """Compare as ``verify_decoder`` does, on a board of any kind."""
    _check(program, prompt, new_tokens)
    expected = _expected(program, prompt, new_tokens, reference)
    pieces = runs_of(program.step_tokens, 0, len(prompt), new_tokens)
    progress.start(len(expected) + len(pieces), "Comparing with the runtime")
    host = _Host(driver, program, progress)
    driver.load(image_of(program, _NAME, len(prompt) + new_tokens))
    driver.write_tokens(0, prompt)
    steps = tuple(host.step(*step) for step in expected)
    # Once more from the beginning: the prompt alone, so that all others are chosen anew.
    driver.write_tokens(0, [*prompt, *[0] * new_tokens])
    whole = [host.run(piece) for piece in pieces]
    tokens = driver.read_tokens(len(prompt), new_tokens)
    chosen = tuple(token for _, _, _, token in expected if token is not None)
    counts = {name: sum(counted[name] for counted in whole) for name in whole[-1]}
    return DecoderReport(steps, tuple(tokens), chosen[-new_tokens:], counts)


def _check(program: Program, prompt: Sequence[int], new_tokens: int) -> None:
    if not prompt or new_tokens < 1:
        raise TrilobiteError("At least one token of prompt and one new token are needed")
    room = program.memory.regions["tokens"].words * program.parameters.word_bytes // 4
    if len(prompt) + new_tokens > room:
        raise TrilobiteError(f"{len(prompt)} tokens and {new_tokens} new ones are more than the "
                             f"{room} that the program has room for")


class _Host:
    """Does runs on a simulated board, and looks at memory between them."""

    def __init__(self, driver: Driver, program: Program, progress: Progress) -> None:
        self.driver, self._program, self._progress = driver, program, progress

    def run(self, run: Run) -> dict[str, int]:
        """Do a run; its counters."""
        try:
            for _ in self.driver.run(run):
                pass   # its tokens are in memory
        except RunFailed as failed:
            raise ToolError(
                f"The accelerator reported {failed.error.name} at {failed.descriptor} in the step "
                f"of {run.tokens} tokens at position {run.position}") from None
        self._progress.advance()
        return self.driver.counters()

    def step(self, position: int, ids: list[int], residuals: list[np.ndarray],
             token: int | None) -> StepResult:
        """Do one step and compare it with the runtime's residual streams and token."""
        counts = self.run(Run(len(ids), position, int(token is not None)))
        equal = tuple(self._equal(number, expected) for number, expected in enumerate(residuals))
        chosen = None if token is None else self.driver.read_tokens(position + len(ids), 1)[0]
        return StepResult(position, len(ids), equal, chosen, token, counts)

    def _equal(self, layer: int, expected: np.ndarray) -> bool:
        """Whether the residual stream before a layer has the bits of ``expected``."""
        row_bytes = self._program.row_words * self._program.parameters.word_bytes
        content = self.driver.read_region(f"residual.{layer}", len(expected) * row_bytes)
        rows = np.frombuffer(content, np.uint32).reshape(len(expected), -1)
        return bool(np.array_equal(rows[:, :expected.shape[1]], expected.view(np.uint32)))


def _expected(program: Program, prompt: Sequence[int], new_tokens: int, reference: Reference,
              ) -> list[tuple[int, list[int], list[np.ndarray], int | None]]:
    """Per step: position, token ids, residuals, and the runtime's next token."""
    most = program.step_tokens
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
