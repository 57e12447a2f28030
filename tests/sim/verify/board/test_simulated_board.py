"""A whole tiny decoder through registers and AXI ports, under the host program.

Its memory has four ports, each slower than the one before.
"""

import random
from dataclasses import replace

import numpy as np
import pytest

from support.tiny_accelerator import MODEL, TINY
from support.uart_line import UartLine
from trilobite.api.verify import Runtime
from trilobite.errors import HostError
from trilobite.fpga.compiler import compile_model
from trilobite.fpga.descriptors import DESCRIPTOR_BYTES
from trilobite.fpga.image import image_of
from trilobite.fpga.runs import RunError
from trilobite.host.driver import Driver, Run, RunFailed
from trilobite.host.uart import UartBoard
from trilobite.hw.memory.responses import PortError
from trilobite.quant.formats import Ternary
from trilobite.runtime.decoder import Decoder
from trilobite.runtime.language_model import Session
from trilobite.runtime.random_weights import random_weights
from trilobite.sim.verify.board.simulated_board import DRAM, SimulatedBoard, build_board
from trilobite.sim.verify.decoder import verify_decoder

PROMPT = [3, 14, 15, 9, 26, 5, 35, 8, 9, 7, 9]   # more than a step of TINY takes
CAPACITY, NEW_TOKENS = 24, 3
STRIPED = replace(TINY, ports=4)
WEIGHTS = random_weights(MODEL, Ternary())


@pytest.fixture(scope="module")
def image():
    return image_of(compile_model(MODEL, WEIGHTS, STRIPED, CAPACITY), "a tiny model", CAPACITY)


@pytest.fixture(scope="module")
def built(image):
    return build_board(STRIPED, image.nbytes, optimize=False)


@pytest.fixture
def board(built):
    with SimulatedBoard(built) as opened:
        yield opened


@pytest.fixture
def driver(board, image):
    rubbish = np.random.default_rng(1).integers(0, 256, board.memory_bytes, np.uint8)
    board.write_memory(0, rubbish.tobytes())   # as memory is when a board is switched on
    loaded = Driver(board)
    loaded.load(image)
    return loaded


def chosen(prompt, count, session=None):
    """The tokens that the runtime chooses."""
    session = session or Session(Decoder(MODEL, WEIGHTS), "int8", CAPACITY)
    tokens = [int(np.argmax(session.prefill(prompt)))]
    while len(tokens) < count:
        tokens.append(int(np.argmax(session.prefill(tokens[-1:]))))
    return tokens


def test_the_tokens_are_the_runtimes(driver, board):
    """A prompt of two steps, tokens, and a second prompt behind them."""
    session = Session(Decoder(MODEL, WEIGHTS), "int8", CAPACITY)
    first = chosen(PROMPT, NEW_TOKENS, session)
    assert list(driver.generate(PROMPT, NEW_TOKENS)) == first
    counters = driver.counters()
    assert counters["tokens"] == NEW_TOKENS
    assert 0 < counters["cycles"] < board.cycles
    more = [first[-1], 40, 2]
    place = len(PROMPT) + NEW_TOKENS - 1
    assert list(driver.generate(more, 2, position=place)) == chosen(more, 2, session)


def test_every_residual_stream_is_the_runtimes(image, built):
    """Step by step, as ``trilobite verify decoder`` looks at them."""
    program = compile_model(MODEL, WEIGHTS, STRIPED, CAPACITY, keep_residuals=True)
    decoder = Decoder(MODEL, WEIGHTS)
    report = verify_decoder(
        program, PROMPT, NEW_TOKENS, Runtime(decoder, Session(decoder, "int8", CAPACITY)),
        DRAM, optimize=False)
    assert report.equal
    assert [step.tokens for step in report.steps] == [8, 3, 1, 1]
    assert report.counts["tokens"] == NEW_TOKENS


def test_all_logits_are_the_runtimes(driver):
    """So whatever draws tokens from them draws the runtime's; here the smallest logit."""
    session = Session(Decoder(MODEL, WEIGHTS), "int8", CAPACITY)
    seen = []

    def smallest(logits):
        seen.append(logits.copy())
        return int(np.argmin(logits))

    tokens = list(driver.sample(PROMPT, NEW_TOKENS, smallest))
    fed = PROMPT
    for logits, token in zip(seen, tokens, strict=True):
        expected = session.prefill(fed)
        assert np.array_equal(logits.view(np.uint32), expected.view(np.uint32))
        assert token == int(np.argmin(expected))
        fed = [token]
    assert len(seen) == NEW_TOKENS
    assert list(driver.generate(PROMPT, NEW_TOKENS)) == chosen(PROMPT, NEW_TOKENS)


def test_an_end_token_ends_a_run(driver):
    expected = chosen(PROMPT, NEW_TOKENS)
    for ends in ([expected[0]], [47, expected[0]]):   # by the accelerator, and by the host
        assert list(driver.generate(PROMPT, NEW_TOKENS, ends)) == expected[:1]
        assert list(driver.generate(PROMPT, NEW_TOKENS)) == expected


def test_an_image_for_another_accelerator_is_refused(driver, board, image):
    other = compile_model(MODEL, WEIGHTS, replace(TINY, max_context=32), CAPACITY)
    before = board.read_memory(0, board.memory_bytes)
    with pytest.raises(HostError, match="was made for the accelerator with the hash"):
        driver.load(image_of(other, "another", CAPACITY))
    assert board.read_memory(0, board.memory_bytes) == before
    with pytest.raises(HostError, match="has no image"):
        next(driver.generate(PROMPT, 1))
    driver.load(image)
    assert list(driver.generate(PROMPT, NEW_TOKENS)) == chosen(PROMPT, NEW_TOKENS)


def test_a_run_that_is_given_up_is_aborted(driver, board):
    tokens = driver.generate(PROMPT, NEW_TOKENS)
    assert next(tokens) == chosen(PROMPT, 1)[0]
    tokens.close()
    assert driver.counters()["cycles"] == 0
    driver.write_tokens(0, PROMPT)
    driver.start(Run(8, 0, 0))
    with pytest.raises(HostError, match="refused to start"):
        driver.start(Run(8, 0, 0))
    driver.abort()
    assert list(driver.generate(PROMPT, NEW_TOKENS)) == chosen(PROMPT, NEW_TOKENS)


def test_a_damaged_program_ends_in_an_error_and_the_next_run_is_right(driver, board, image):
    place, _ = image.region("program")
    second = place + DESCRIPTOR_BYTES
    right = driver.memory.read_memory(second, 1)
    driver.memory.write_memory(second, b"\x09")
    with pytest.raises(RunFailed, match="ended with OPERATION at operation 9") as failed:
        list(driver.generate(PROMPT, NEW_TOKENS))
    assert failed.value.error == RunError.OPERATION
    driver.memory.write_memory(second, right)
    assert list(driver.generate(PROMPT, NEW_TOKENS)) == chosen(PROMPT, NEW_TOKENS)


def test_limits_are_kept(driver):
    driver.limits(timeout=20)   # fewer cycles than this memory takes
    with pytest.raises(RunFailed, match="READ") as failed:
        list(driver.generate(PROMPT, NEW_TOKENS))
    assert (failed.value.error, failed.value.read_error) == (RunError.READ, PortError.TIMEOUT)
    driver.limits(timeout=0, patience=20)
    with pytest.raises(RunFailed, match="STUCK"):
        list(driver.generate(PROMPT, NEW_TOKENS))
    driver.limits(timeout=0, patience=0)
    assert list(driver.generate(PROMPT, NEW_TOKENS)) == chosen(PROMPT, NEW_TOKENS)


def test_no_memory_at_the_base_is_an_error_of_the_port(driver, board):
    driver._set("base_high", 0xFF)
    with pytest.raises(RunFailed, match="READ .reads DECODE.") as failed:
        list(driver.generate(PROMPT, 1))
    assert failed.value.read_error == PortError.DECODE


@pytest.mark.parametrize(("prompt", "count", "position"), [
    ([], 1, 0), ([48], 1, 0), ([-1], 1, 0), (PROMPT, 0, 0),
    (PROMPT, CAPACITY - len(PROMPT) + 2, 0), (PROMPT, 1, CAPACITY)])
def test_what_cannot_be_run_is_refused_before(driver, board, prompt, count, position):
    cycles = board.cycles
    with pytest.raises(HostError):
        list(driver.generate(prompt, count, position=position))
    assert board.cycles == cycles


class SimulatedLine(UartLine):
    """While the host listens and nothing comes, time passes on the board."""

    def read(self, size):
        if not self._out and self.board.wait(0):
            self.interrupt()
        return super().read(size)


def test_the_same_over_a_serial_line(board, image):
    """Image, tokens and an error, in frames of which some are damaged on their way."""
    rng = random.Random(2)

    def damage(byte):
        return byte ^ 1 << rng.randrange(8) if rng.random() < 0.0005 else byte

    there = UartBoard("uart:x", lambda: SimulatedLine(board, damage), board.memory_bytes)
    there.memory_base = board.memory_base
    with there:
        driver = Driver(there)
        driver.load(image)
        assert list(driver.generate(PROMPT, NEW_TOKENS)) == chosen(PROMPT, NEW_TOKENS)
        driver.limits(timeout=20)
        with pytest.raises(RunFailed, match="READ"):
            list(driver.generate(PROMPT, NEW_TOKENS))


def test_registers_that_are_none_are_refused_by_a_sentence(board):
    with pytest.raises(HostError, match="register 0xff0 cannot be read: SLVERR"):
        board.read_register(0xFF0)
    with pytest.raises(HostError, match="register 0x4 cannot be written: SLVERR"):
        board.write_register(4, 0)


def test_a_simulation_that_dies_is_said_so(board):
    board._process.terminate()   # its supervisor, which ends it
    board._process.wait()
    with pytest.raises(HostError, match="The simulation ended"):
        board.read_register(0x100)
