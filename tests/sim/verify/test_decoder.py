"""The whole accelerator beside the runtime, on the demo model."""

from dataclasses import replace

import numpy as np
import pytest

from support.tiny_accelerator import MODEL, TINY
from trilobite.api.models import load
from trilobite.api.verify import Runtime
from trilobite.errors import TrilobiteError
from trilobite.fpga.compiler import compile_model
from trilobite.fpga.descriptors import DESCRIPTOR_BYTES, Descriptor, Operation, Post
from trilobite.fpga.image import image_of
from trilobite.fpga.runs import RunError
from trilobite.host.driver import Driver
from trilobite.quant.checkpoint import open_checkpoint
from trilobite.quant.formats import Int4, Int8, Ternary
from trilobite.quant.pipeline import quantize
from trilobite.runtime.decoder import Decoder
from trilobite.runtime.language_model import Session
from trilobite.runtime.random_weights import random_weights
from trilobite.sim.descriptions.accelerator import load_accelerator
from trilobite.sim.descriptions.ddr_timing import DdrTiming
from trilobite.sim.verify.bench import build
from trilobite.sim.verify.bench.program_bench import ProgramBench
from trilobite.sim.verify.bench.program_run import Dump, Run, run_accelerator
from trilobite.sim.verify.board.simulated_board import SimulatedBoard, build_board
from trilobite.sim.verify.decoder import verify_decoder

DEMO = load_accelerator("demo").whole()
TIMING = DdrTiming(latency=40, refresh_interval=195, refresh_cycles=9)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "bitnet"
    quantize("demo-bitnet", path, format="ternary")
    return path


@pytest.fixture(scope="module")
def program(folder):
    with open_checkpoint(folder) as checkpoint:
        return compile_model(checkpoint.config, checkpoint.weight, DEMO, 80, keep_residuals=True)


def test_nothing_to_do_is_refused(program):
    for prompt, new_tokens in (([], 1), ([1], 0)):
        with pytest.raises(TrilobiteError, match="At least one token"):
            verify_decoder(program, prompt, new_tokens, None)
    with pytest.raises(TrilobiteError, match="more than the"):
        verify_decoder(program, [1] * 80, 80, None)


@pytest.mark.slow
def test_every_residual_stream_and_token_is_the_runtimes(folder, program):
    """A prompt in two pieces (65 tokens, 64 at once), and a dozen tokens, over three tiles."""
    model = load(folder)
    ids = model.held_out_tokens()[:65]
    report = verify_decoder(program, ids, 12, Runtime(model.decoder, model.session(80)), TIMING)
    assert report.equal
    assert [step.tokens for step in report.steps] == [64, 1, *[1] * 11]
    assert report.tokens == report.expected_tokens
    assert len(report.tokens) == 12
    assert report.counts["tokens"] == 12
    assert report.counts["weight_beats"] == 12 * sum(t.beats for t in program.tiles) + 64 * sum(
        t.beats for t in program.tiles)


@pytest.mark.slow
def test_tokens_of_an_embedding_and_head_of_four_bits_are_the_runtimes(tmp_path):
    quantize("demo-bitnet", tmp_path / "four", format="ternary",
             tensor_formats=["embed_tokens=int4,group_size=row"])
    with open_checkpoint(tmp_path / "four") as checkpoint:
        program = compile_model(checkpoint.config, checkpoint.weight, DEMO, 24, keep_residuals=True)
    model = load(tmp_path / "four")
    report = verify_decoder(program, model.held_out_tokens()[:9], 8,
                            Runtime(model.decoder, model.session(24)), TIMING)
    assert report.equal
    assert report.counts["head_words"] == 8 * program.memory.regions["vocabulary"].words


def untied(config):
    """Weights of an int8 embedding and an int4 head."""
    int8, int4 = (random_weights(config, Ternary(), 3, form)
                  for form in (Int8(), Int4(group_size=None)))
    return lambda name: (int4 if name == "lm_head.weight" else int8)(name)


def reference(config, weights, capacity):
    decoder = Decoder(config, weights)
    return Runtime(decoder, Session(decoder, "int8", capacity))


@pytest.mark.slow
def test_an_embedding_of_eight_bits_beside_a_head_of_four():
    config = replace(MODEL, hidden_size=48, tie_word_embeddings=False, sub_norm=False)
    weights = untied(config)
    program = compile_model(config, weights, TINY, 20, keep_residuals=True)
    report = verify_decoder(program, [5, 40, 7, 1, 30, 2, 8, 9, 11], 8,
                            reference(config, weights, 20), TIMING)
    assert report.equal
    heads = [d for d in program.descriptors if d.operation in (Operation.EMBED, Operation.HEAD)]
    assert [d.four_bits for d in heads] == [0, 1]


@pytest.mark.slow
@pytest.mark.parametrize("word_bytes", [4, 8])
def test_words_may_be_narrower_than_the_entries_of_the_lists(word_bytes):
    small = replace(TINY, word_bytes=word_bytes, lanes=1, activations=("relu2",))
    config = replace(MODEL, activation="relu2")
    weights = random_weights(config, Ternary(), 5)
    program = compile_model(config, weights, small, 20, keep_residuals=True)
    report = verify_decoder(program, [5, 40, 7, 1, 30, 2, 8, 9, 11], 3,
                            reference(config, weights, 20), TIMING)
    assert report.equal


@pytest.mark.slow
def test_the_back_door_leaves_the_same_memory_as_registers_and_ports():
    """The core alone, which ``verify shape`` runs, beside the whole accelerator."""
    weights = random_weights(MODEL, Ternary(), 6)
    program = compile_model(MODEL, weights, TINY, 20, keep_residuals=True)
    prompt, new_tokens = [5, 40, 7, 1], 3
    region = program.memory.regions["tokens"]
    words = np.zeros((region.words, TINY.word_bytes), np.uint8)
    words.reshape(-1).view("<i4")[:len(prompt)] = prompt
    names = ["tokens", "residual.0", "residual.1", "cache"]
    run = Run(program.word("program"), program.word("tiles"), len(program.tiles), len(prompt), 0,
              new_tokens, dumps=tuple(
                  Dump(name, program.word(name), program.memory.regions[name].words)
                  for name in names))
    core, = run_accelerator(build(ProgramBench(TINY, 1 << 13, TIMING), "accelerator"),
                        [*program.memory.image(), (region.start, words)], [run])
    image = image_of(program, "the model", 20)
    with SimulatedBoard(build_board(TINY, image.nbytes, TIMING)) as board:
        driver = Driver(board)
        board.write_memory(0, bytes(board.memory_bytes))   # as the other memory is at first
        driver.load(image)
        assert len(list(driver.generate(prompt, new_tokens))) == new_tokens
        for name in names:
            assert driver.read_region(name, image.region(name)[1]) == core.dumps[name].tobytes()


def altered(program, number, **fields):
    """The memory image with one descriptor changed."""
    number %= len(program.descriptors)
    packed = replace(program.descriptors[number], **fields).pack()
    image = []
    for first, words in program.memory.image():
        if first == program.word("program"):
            data = bytearray(words.tobytes())
            data[number * DESCRIPTOR_BYTES:(number + 1) * DESCRIPTOR_BYTES] = packed
            image.append((first, np.frombuffer(bytes(data), np.uint8).reshape(words.shape)))
        else:
            image.append((first, words))
    return image


@pytest.mark.slow
@pytest.mark.parametrize(("number", "fields", "error"), [
    (0, {"beats": 1000}, RunError.SIZE),
    (1, {"passes": 0}, RunError.SIZE),
    (2, {"blocks": 0}, RunError.SIZE),
    (2, {"heads": 200}, RunError.SIZE),
    (3, {"chunks": 9}, RunError.SIZE),
    (5, {"group": 77}, RunError.SIZE),
    (2, {"post": 7}, RunError.OPERATION),
    (4, {"operation": 9}, RunError.OPERATION),
    (1, {"a": 0x0FFF_FFF0}, RunError.READ),
    (0, {"d": 0x0FFF_FFF0}, RunError.WRITE),
    (-2, {"rows": 1025}, RunError.SIZE),
    (-2, {"tile_words": 49}, RunError.SIZE),
    (-2, {"four_bits": 1, "tile_words": 25}, RunError.SIZE),
])
def test_a_bad_descriptor_ends_in_an_error_code(program, number, fields, error):
    engine = _engine(program)
    run = Run(program.word("program"), program.word("tiles"), len(program.tiles), 2, 0, 1)
    result = run_accelerator(engine, altered(program, number, **fields), [run], cycle_limit=400_000)
    assert result[0].error == error


@pytest.mark.slow
@pytest.mark.parametrize("fields", [
    {"tokens": 0}, {"tokens": 65}, {"position": 1020, "tokens": 8},
    {"position": 1000, "tokens": 8, "new_tokens": 200},
])
def test_too_many_tokens_end_in_an_error_code(program, fields):
    run = Run(**{"program": program.word("program"), "tiles": program.word("tiles"),
                 "tile_count": len(program.tiles), "tokens": 1, "position": 0, "new_tokens": 1,
                 **fields})
    image = program.memory.image()[:1]
    result = run_accelerator(_engine(program), image, [run], cycle_limit=10_000)
    assert result[0].error == RunError.TOKENS


@pytest.mark.slow
@pytest.mark.parametrize("tile", [0, -1])
def test_weights_that_no_encoder_writes_end_in_an_error_code(program, tile):
    """A byte of five trits is at most 242; also in the last tile, which is read far ahead."""
    entry = program.tiles[tile]
    image = [(first, words.copy()) for first, words in program.memory.image()]
    words, = (words for first, words in image if first == entry.word)
    words[entry.words // 2, 3] = 243
    run = Run(program.word("program"), program.word("tiles"), len(program.tiles), 2, 0, 1)
    result = run_accelerator(_engine(program), image, [run], cycle_limit=400_000)
    assert result[0].error == RunError.WEIGHTS


@pytest.mark.slow
def test_a_run_that_cannot_go_on_is_stuck(program):
    """A MATMUL whose weight tiles are not in the list waits for ever."""
    run = Run(program.word("program"), program.word("tiles"), 1, 1, 0, 1)
    image = program.memory.image()
    result = run_accelerator(_engine(program), image, [run], cycle_limit=400_000)
    assert result[0].error == RunError.STUCK


def _engine(program):
    depth = 1 << (program.memory.words - 1).bit_length()
    return build(ProgramBench(DEMO, depth, TIMING), "accelerator")


def test_descriptors_of_the_tests_are_what_they_say(program):
    kinds = [(d.operation, d.post) for d in program.descriptors[:6]]
    assert kinds == [
        (Operation.EMBED, Post.ADD), (Operation.QUANTIZE, Post.ADD),
        (Operation.MATMUL, Post.ROTATE), (Operation.MATMUL, Post.KEYS),
        (Operation.MATMUL, Post.VALUES), (Operation.ATTEND, Post.ADD)]
    assert isinstance(program.descriptors[0], Descriptor)
