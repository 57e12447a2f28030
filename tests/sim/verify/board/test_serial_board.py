"""A whole tiny decoder on a ULX3S: bits of the serial line, SDRAM, under the host program."""

from dataclasses import replace

import numpy as np
import pytest

from support.tiny_accelerator import MODEL, TINY
from trilobite.api.models import load
from trilobite.fpga.compiler import compile_model
from trilobite.fpga.image import image_of
from trilobite.fpga.registers import REGISTERS
from trilobite.fpga.runs import RunError
from trilobite.host.driver import Driver, RunFailed
from trilobite.host.uart_protocol import Operation, Request, Status
from trilobite.quant.checkpoint import open_checkpoint
from trilobite.quant.formats import Ternary
from trilobite.quant.pipeline import quantize
from trilobite.runtime.decoder import Decoder
from trilobite.runtime.language_model import Session
from trilobite.runtime.random_weights import random_weights
from trilobite.sim.descriptions.accelerator import load_accelerator
from trilobite.sim.verify.bench.sdram import Broken
from trilobite.sim.verify.board.serial_board import SimulatedLine, build_serial_board

SMALL = replace(TINY, word_bytes=4, lanes=1, activations=("relu2",), address_width=25)
RELU2 = replace(MODEL, activation="relu2")
WEIGHTS = random_weights(RELU2, Ternary())
PROMPT = [3, 14, 15, 9, 26, 5, 35, 8, 9, 7, 9]   # more than a step takes
CAPACITY, NEW_TOKENS = 24, 3


@pytest.fixture(scope="module")
def image():
    return image_of(compile_model(RELU2, WEIGHTS, SMALL, CAPACITY), "a tiny model", CAPACITY)


@pytest.fixture(scope="module")
def built(image):
    return build_serial_board(SMALL, image.nbytes, optimize=False)


@pytest.fixture(scope="module")
def bare():
    return build_serial_board(SMALL, 1 << 16, optimize=False, bare=True)


def test_a_bare_board_takes_an_image_and_fails_a_run(bare, image):
    with SimulatedLine.board(bare) as board:
        driver = Driver(board)
        driver.load(image)
        place, content = next(image.pieces(256))
        assert board.read_memory(place, len(content)) == content
        with pytest.raises(RunFailed) as failed:
            list(driver.generate(PROMPT, NEW_TOKENS))
        assert failed.value.error == RunError.OPERATION
        driver.abort()
        driver.load(image)


def test_a_host_at_the_serial_line_gets_the_runtimes_tokens(built, image):
    session = Session(Decoder(RELU2, WEIGHTS), "int8", CAPACITY)
    expected = [int(np.argmax(session.prefill(PROMPT)))]
    while len(expected) < NEW_TOKENS:
        expected.append(int(np.argmax(session.prefill(expected[-1:]))))
    with SimulatedLine.board(built) as board:
        driver = Driver(board)
        driver.load(image)
        assert list(driver.generate(PROMPT, NEW_TOKENS)) == expected
        counters = driver.counters()
        cycles, broken = board._line.state()
    assert broken == Broken.NONE
    assert counters["tokens"] == NEW_TOKENS
    assert 0 < counters["cycles"] < cycles


def test_memory_and_registers_are_what_was_written_and_damage_is_answered(bare):
    content = np.random.default_rng(2).integers(0, 256, 700, np.uint8).tobytes()
    with SimulatedLine.board(bare) as board:
        board.write_memory(1002, content)
        assert board.read_memory(1002, 700) == content
        board.write_register(REGISTERS["scratch"].address, 0x1234_5678)
        assert board.read_register(REGISTERS["scratch"].address) == 0x1234_5678
        for operation, address, words, status in (
                (Operation.READ_REGISTER, 0x1000, 1, "UNKNOWN"),
                (Operation.READ_REGISTER, 0, 2, "UNKNOWN"),
                (Operation.READ_MEMORY, 2, 1, "UNKNOWN"),
                (Operation.READ_MEMORY, 32 << 20, 1, "UNKNOWN"),
                (Operation.READ_MEMORY, 0, 65, "UNKNOWN"),
                (Operation.READ_MEMORY, (32 << 20) - 4, 2, "UNKNOWN"),
                (Operation.READ_REGISTER, 0xFFC, 1, "REFUSED")):
            with pytest.raises(Exception, match=f"was answered by {status}"):
                board._ask(operation, address, words)
        line = board._line
        line.timeout = 0.02
        line.write(Request(9, 5, 0, 1).encode())   # no such operation
        assert line.read(6)[:3] == bytes([ord("R"), 5, Status.UNKNOWN])
        head = bytearray(Request(Operation.READ_MEMORY, 7, 1000, 1).encode())
        head[5] ^= 1
        line.write(b"\x00\xff!R" + bytes(head))
        assert line.read(1) == b"", "a damaged request was answered"
        damaged = bytearray(Request(Operation.WRITE_MEMORY, 8, 1004, 1, b"abcd").encode())
        damaged[-1] ^= 8
        line.write(bytes(damaged))
        assert line.read(4) == b"R\x08\x01\x01"
        line.read(2)
        # Asked for again, a register is not written again, and the answer is the same.
        scratch = REGISTERS["scratch"].address
        for value in (5, 6):
            line.write(Request(Operation.WRITE_REGISTER, 9, scratch, 1,
                               value.to_bytes(4, "little")).encode())
            assert line.read(6)[:3] == b"R\x09\x00"
        assert board.read_register(scratch) == 5
        assert line.state()[1] == Broken.NONE


@pytest.mark.slow
def test_demo_bitnet_makes_120_tokens_a_second(tmp_path):
    """At 50 MHz, beside the runtime; the image is put into the SDRAM, not sent."""
    quantize("demo-bitnet", tmp_path / "model", format="ternary")
    parameters = load_accelerator("ulx3s").whole()
    model = load(tmp_path / "model")
    prompt, count = model.held_out_tokens()[:3], 3
    with open_checkpoint(tmp_path / "model") as checkpoint:
        image = image_of(compile_model(checkpoint.config, checkpoint.weight, parameters, 64),
                         "demo-bitnet", 64)
    with SimulatedLine.board(build_serial_board(parameters, image.nbytes)) as board:
        driver = Driver(board)
        for place, content in image.pieces(1 << 16):
            board._line.store(place, content)
        driver.image = image
        assert list(driver.generate(prompt, count)) == generated(model, prompt, count)
        whole = driver.counters()["cycles"]
        assert list(driver.generate(prompt, 1)) == generated(model, prompt, 1)
        first = driver.counters()["cycles"]
        assert board._line.state()[1] == Broken.NONE
    cycles = (whole - first) / (count - 1)
    print(f"{cycles:,.0f} cycles a token, {50e6 / cycles:.1f} tokens/s at 50 MHz")
    assert 50e6 / cycles > 120


def generated(model, prompt, count):
    """The tokens that the runtime chooses."""
    session = model.session(64)
    tokens = [int(np.argmax(session.feed(prompt)[-1]))]
    while len(tokens) < count:
        tokens.append(int(np.argmax(session.feed(tokens[-1:])[-1])))
    return tokens
