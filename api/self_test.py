"""Test a board: its registers, its memory, and every unit of its accelerator."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ..fpga.accelerator_parameters import AcceleratorParameters
from ..fpga.compiler import compile_model
from ..fpga.descriptors import DESCRIPTOR_BYTES
from ..fpga.image import image_of
from ..fpga.runs import RunError
from ..host.driver import Driver, Run, RunFailed
from ..host.self_test import Check, check_memory, check_registers
from ..host.transport import Transport
from ..model import ModelConfig
from ..quant.formats import Ternary
from ..runtime.decoder import Decoder
from ..runtime.language_model import Session
from ..runtime.random_weights import random_weights
from ..sim.descriptions.accelerator import load_accelerator
from ..sim.verify.board.simulated_board import SimulatedBoard, build_board
from ..sim.verify.decoder import DecoderReport, compare_decoder
from ..tools.progress import SILENT, Progress
from .boards import SIM, accelerator_of, physical_board
from .verify import Runtime

__all__ = ["SelfTest", "self_test", "small_model"]

_DEFAULT = "demo"
_NEW_TOKENS, _CAPACITY = 3, 24
_MEMORY_BYTES, _LEAST_BYTES = 1 << 20, 1 << 16   # tested by default, and of a simulated board


@dataclass(frozen=True)
class SelfTest:
    """What was tested of ``board``, in order; ``counters`` are those of the whole run of tokens."""

    board: str
    configuration: str
    checks: tuple[Check, ...]
    counters: dict[str, int]

    @property
    def passed(self) -> bool:
        """Everything is right."""
        return all(check.passed for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {"board": self.board, "configuration": self.configuration, "passed": self.passed,
                "checks": [asdict(check) for check in self.checks], "counters": self.counters}


def self_test(
    on: str = SIM, hardware: str | None = None, memory_bytes: int = _MEMORY_BYTES,
    progress: Progress = SILENT,
) -> SelfTest:
    """Test a board from its registers to tokens, with a small random model.

    Registers and ``memory_bytes`` of memory first; then each step of a prompt and some tokens, the
    residual stream of every layer compared with the runtime's bits, which needs every unit; then a
    run in one go; a damaged descriptor, which must be reported; and a run after that.

    Parameters
    ----------
    on
        As ``run`` takes it.
    hardware
        The accelerator, by name or as a .toml file; None takes the one that the board says it has,
        and in a simulation, ``demo``.
    memory_bytes
        How much of the memory is written and read, spread over all of it.
    progress
        Each check is finished as soon as it is known.

    Raises
    ------
    TrilobiteError
        ``on`` is no board, or its accelerator is not known.
    HostError
        The board does not answer at all. What is wrong otherwise is a check that did not pass.
    ToolError
        The simulation needs a tool that is missing or fails.
    """
    if on != SIM:
        with physical_board(on) as board:
            driver = Driver(board)
            parameters = (load_accelerator(hardware).whole() if hardware
                          else accelerator_of(driver, on))
            return _Test(board, driver, parameters, progress).run(memory_bytes)
    parameters = load_accelerator(hardware or _DEFAULT).whole()
    progress.doing("Building the simulator")
    built = build_board(parameters, max(memory_bytes, _LEAST_BYTES))
    with SimulatedBoard(built) as board:
        return _Test(board, Driver(board), parameters, progress).run(memory_bytes)


def small_model(p: AcceleratorParameters) -> ModelConfig:
    """A model of two layers that an accelerator can run, with all that it has to do."""
    unit = math.lcm(p.tlmm.columns, p.attention.chunk)
    head_dim = unit * max(1, 16 // unit)
    width = head_dim * -(-max(32, 2 * p.word_bytes) // head_dim)
    heads = min(2, p.max_heads, p.max_width // head_dim)
    return ModelConfig(
        family="bitnet", hidden_size=width, intermediate_size=width + p.tlmm.columns,
        num_layers=2, num_heads=heads, num_kv_heads=1, head_dim=head_dim,
        vocab_size=min(61, p.max_vocabulary), max_position_embeddings=_CAPACITY,
        rms_norm_eps=1e-5, rope_theta=10000.0, activation=p.activations[0],
        tie_word_embeddings=True, sub_norm=True, bitlinear=True)


class _Test:
    """The checks of one board."""

    def __init__(self, board: Transport, driver: Driver, parameters: AcceleratorParameters,
                 progress: Progress) -> None:
        self._board, self._driver, self._progress = board, driver, progress
        self._config = small_model(parameters)
        self._weights = random_weights(self._config, Ternary())
        self._program = compile_model(self._config, self._weights, parameters, _CAPACITY,
                                      keep_residuals=True)
        length = min(11, parameters.max_tokens + 3)
        self._prompt = [(7 * number + 3) % self._config.vocab_size for number in range(length)]

    def run(self, memory_bytes: int) -> SelfTest:
        """Do all; what needs memory only where memory is right."""
        checks: list[Check] = []
        counters: dict[str, int] = {}
        for check in self._checks(memory_bytes, counters):
            self._progress.finished(check)
            checks.append(check)
        return SelfTest(self._board.name, f"{self._driver.identity.configuration:016x}",
                        tuple(checks), counters)

    def _checks(self, memory_bytes: int, counters: dict[str, int]) -> Iterator[Check]:
        identity = self._driver.identity
        yield Check("identity", True, f"registers of version {identity.version >> 16}."
                    f"{identity.version & 0xFFFF}, words of {identity.word_bytes} bytes")
        basic = [*check_registers(self._board), *check_memory(self._board, memory_bytes)]
        yield from basic
        if not all(check.passed for check in basic):
            return
        try:
            report = self._compared()
        except RunFailed as failed:
            yield Check("a run", False, str(failed))
            return
        yield from _steps(report)
        counters.update(report.counts)
        yield from self._errors(list(report.expected_tokens))

    def _compared(self) -> DecoderReport:
        decoder = Decoder(self._config, self._weights)
        reference = Runtime(decoder, Session(decoder, "int8", _CAPACITY))
        return compare_decoder(self._driver, self._program, self._prompt, _NEW_TOKENS, reference)

    def _errors(self, expected: list[int]) -> Iterator[Check]:
        """A descriptor that does not exist is reported; the next run is right."""
        image = image_of(self._program, "the self-test", _CAPACITY)
        self._driver.load(image)
        self._driver.write_tokens(0, self._prompt)
        place = image.region("program")[0] + DESCRIPTOR_BYTES
        right = self._driver.memory.read_memory(place, 1)
        self._driver.memory.write_memory(place, b"\x0e")
        try:
            list(self._driver.run(Run(1, 0, 1)))
            seen = "the run ended without one"
        except RunFailed as failed:
            seen = failed.error.name
        yield Check("errors: a damaged descriptor is reported", seen == RunError.OPERATION.name,
                    seen)
        self._driver.memory.write_memory(place, right)
        tokens = list(self._driver.generate(self._prompt, _NEW_TOKENS))
        yield Check("errors: the next run is right", tokens == expected, f"tokens {tokens}")


def _steps(report: DecoderReport) -> Iterator[Check]:
    """Each residual stream over all steps, the tokens step by step, and in one run."""
    for number, name in enumerate(_streams(len(report.steps[0].residuals_equal))):
        wrong = [step.position for step in report.steps if not step.residuals_equal[number]]
        yield Check(name, not wrong, f"position {wrong[0]} differs first" if wrong else
                    f"{len(report.steps)} steps")
    wrong = [step.position for step in report.steps if step.token != step.expected_token]
    yield Check("head: tokens, step by step", not wrong,
                f"position {wrong[0]} differs first" if wrong else f"{len(report.tokens)} tokens")
    yield Check("tokens in one run", report.tokens == report.expected_tokens,
                f"{list(report.tokens)} in {report.counts['cycles']:,} cycles")


def _streams(count: int) -> list[str]:
    return ["embedding", *(f"layer {number}" for number in range(count - 1))]
