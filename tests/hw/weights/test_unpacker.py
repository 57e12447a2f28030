from functools import cache

import numpy as np
import pytest

from support.unpacker_tests import valid_bytes
from trilobite.hw import TlmmParameters
from trilobite.hw.matmul.reference import pack_weights, unpack_beats
from trilobite.hw.unused import never_elaborated
from trilobite.hw.weights.unpacker import Unpacker
from trilobite.hw.weights.weight_layout import WeightLayout
from trilobite.sim.verify.bench import Traffic, build, exchange, run_tests

# Beats that are a whole number of words, that share words, that fill none; every group size.
LAYOUTS = {
    "g2 shared": WeightLayout(TlmmParameters(2, 3, 2, max_k=60, max_m=25), 2),
    "g3 shared words": WeightLayout(TlmmParameters(3, 8, 2, max_k=200, max_m=30), 2),
    "g3 whole": WeightLayout(TlmmParameters(3, 5, 3, max_k=80, max_m=100), 3),
    "g3 one word": WeightLayout(TlmmParameters(3, 2, 2, max_k=80, max_m=30), 4),
    "g4 shared": WeightLayout(TlmmParameters(4, 3, 5, max_k=50, max_m=90), 4),
    "g5 shared": WeightLayout(TlmmParameters(5, 3, 3, max_k=99, max_m=40), 2),
    "g5 whole": WeightLayout(TlmmParameters(5, 4, 2, max_k=99, max_m=40), 8),
}
THOROUGH = ("g2 shared", "g3 shared words", "g5 shared")
every_layout = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
thorough = pytest.mark.parametrize("layout", [LAYOUTS[name] for name in THOROUGH], ids=THOROUGH)


@cache
def unpacker(layout, simulator="verilator"):
    return build(Unpacker(layout), "unpacker", simulator)


def word_beats(*images):
    """The word beats of images that follow each other."""
    marked = [np.pad(image, ((0, 0), (0, 1))) for image in images]
    for image in marked:
        image[-1, -1] = 1
    return np.concatenate(marked)


def traffic(layout, *matrices, **keywords):
    """Images of some matrices, one after the other; and the weight beats that must come out."""
    expected = np.concatenate([pack_weights(layout.parameters, trits) for trits in matrices])
    words = word_beats(*[layout.pack(trits) for trits in matrices])
    return Traffic({"i": words}, {"o": len(expected)}, **keywords), expected


def random_matrices(layout, seed, count):
    rng = np.random.default_rng(seed)
    return [rng.integers(-1, 2, (rng.integers(1, layout.parameters.max_m + 1),
                                 rng.integers(1, layout.parameters.max_k + 1))).astype(np.int8)
            for _ in range(count)]


def check(layout, problems, simulator="verilator"):
    observed = exchange(unpacker(layout, simulator), [run for run, _ in problems])
    for (run, expected), seen in zip(problems, observed, strict=True):
        if run.reset_after is None:
            np.testing.assert_array_equal(seen.outputs["o"], expected)
    return observed


@thorough
def test_images_of_any_shape_become_their_weight_beats(layout):
    check(layout, [traffic(layout, *random_matrices(layout, seed, 4), stall=stall, seed=seed)
                   for seed, stall in enumerate((0.0, 0.2, 0.5, 0.9, {"o": 0.7}, {"i": 0.7}))])


@thorough
def test_every_byte_at_every_place(layout):
    """Words of all 243 bytes, each place starting at another one: every byte at every place."""
    codes = np.flatnonzero(valid_bytes(layout.parameters.group_size))
    words = codes[(np.arange(243)[:, None] + 7 * np.arange(layout.word_bytes)) % 243]
    parameters = layout.parameters
    # Each of the 243 words comes at each place of a frame: 243 frames of them, over and over.
    if np.gcd(243, layout.frame_words) > 1:
        words = np.append(words, words[:1], axis=0)
    frames = len(words)
    image = np.resize(words.astype(np.uint8), (frames * layout.frame_words, layout.word_bytes))
    beats = frames * layout.frame_beats
    # One pass of that many blocks: a matrix as tall as the image has beats.
    trits = layout.unpack(image, beats * parameters.columns, parameters.pass_length)
    expected = pack_weights(parameters, trits)
    observed = exchange(unpacker(layout), [Traffic({"i": word_beats(image)}, {"o": beats})])[0]
    np.testing.assert_array_equal(observed.outputs["o"], expected)


@thorough
def test_one_word_per_cycle(layout):
    parameters = layout.parameters
    trits = np.zeros((parameters.max_m, parameters.max_k), np.int8)
    words = 2 * layout.words(*trits.shape)
    # From the first word to the last beat, which is valid one cycle after the last word.
    assert check(layout, [traffic(layout, trits, trits)])[0].cycles == words + 1


@thorough
def test_a_reset_at_any_time_starts_a_new_image(layout):
    problems = []
    for cycle in range(1, 40, 3):
        matrices = random_matrices(layout, cycle, 2)
        problems.append(traffic(layout, *matrices, reset_after=cycle, stall=0.3 * (cycle % 2)))
        problems.append(traffic(layout, *matrices, stall=0.2))
    check(layout, problems)


@pytest.mark.parametrize("name", ["g2 shared", "g3 shared words", "g5 shared"])
def test_groups_of_bytes_that_no_encoder_writes_read_as_zero(name):
    """As the index of zeros, or as one that the engine takes for it."""
    layout = LAYOUTS[name]
    parameters = layout.parameters
    zeros = layout.pack(np.zeros((parameters.columns * layout.frame_beats,
                                  parameters.pass_length), np.int8))
    invalid = np.flatnonzero(~valid_bytes(parameters.group_size)).astype(np.uint8)
    assert len(invalid) == 13
    image = np.where(np.arange(zeros.size) % 3 == 0, np.resize(invalid, zeros.size), zeros.ravel())
    if parameters.group_size == 3:   # the pair beside an index stays: without one
        image = np.where(image >> 4 & 7 == 7, zeros.ravel(), image & 0b11111000)
    image = image.astype(np.uint8).reshape(zeros.shape)
    observed = exchange(unpacker(layout), [Traffic({"i": word_beats(image)},
                                                   {"o": layout.frame_beats})])[0]
    indices = unpack_beats(observed.outputs["o"], parameters.index_width,
                           parameters.tables * parameters.columns)
    magnitudes = indices & ((1 << (parameters.index_width - 1)) - 1)
    assert ((magnitudes == 0) | (magnitudes >= parameters.entries)).all()


@pytest.mark.parametrize("name", ["g2 shared", "g3 shared words", "g5 shared"])
def test_the_report_of_invalid_bytes(name):
    run_tests(unpacker(LAYOUTS[name]), "support.unpacker_tests", ["invalid_bytes"],
              environment={"GROUP_SIZE": str(LAYOUTS[name].parameters.group_size)})


@pytest.mark.icarus
@every_layout
def test_every_layout_in_icarus(layout):
    check(layout, [traffic(layout, *random_matrices(layout, seed, 2), stall=0.3 * seed)
                   for seed in range(2)], "icarus")


def test_it_takes_a_layout_only():
    with never_elaborated(), pytest.raises(TypeError, match="takes a WeightLayout, not 16"):
        Unpacker(16)
