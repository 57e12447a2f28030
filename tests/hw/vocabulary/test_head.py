"""The head beside the runtime's linear and numpy's arg-max."""

from functools import cache

import numpy as np
import pytest

from support.payloads import pack_payloads, unpack_payloads
from support.vocabularies import random_vocabulary, vocabulary_words
from trilobite.hw.unused import never_elaborated
from trilobite.hw.vocabulary.head import Head
from trilobite.numerics import quantize_activation
from trilobite.runtime.linear import make_linear
from trilobite.sim.verify.bench import Traffic, build, exchange

WORD_BYTES, LANES, MAX_WIDTH, MAX_ROWS = 8, 2, 90, 60
INPUTS = ("i", "i_scale", "i_job", "i_words")
STREAMS = (*INPUTS, "o", "o_logits")


@cache
def dut(factor_cycles=1):
    return Head(word_bytes=WORD_BYTES, lanes=LANES, max_width=MAX_WIDTH, max_rows=MAX_ROWS,
                factor_cycles=factor_cycles)


@cache
def head(factor_cycles=1):
    return build(dut(factor_cycles), "head")


class Problem:
    """A vocabulary and a hidden state; what the runtime chooses."""

    def __init__(self, rng, rows, width, bits, hidden=None):
        self.weight = random_vocabulary(rng, rows, width, bits)
        self.bits = bits
        self.hidden = rng.standard_normal(width, np.float32) if hidden is None else hidden

    def logits(self):
        return make_linear(self.weight, None)(self.hidden[None])[0]

    def expected(self):
        logits = self.logits()
        row = int(np.argmax(logits))
        return {"row": row, "logit": int(logits[row].view(np.uint32))}


def traffic(problems, **keywords):
    parts = {name: [] for name in INPUTS}
    for problem in problems:
        codes = np.empty(len(problem.hidden), np.int8)
        scale = np.float32(quantize_activation(problem.hidden, codes))
        codes = np.pad(codes, (0, -len(codes) % LANES)).reshape(-1, LANES).view(np.uint8)
        last = np.zeros((len(codes), 1), np.uint8)
        last[-1] = 1
        layout, words = vocabulary_words(problem.weight, WORD_BYTES)
        parts["i"].append(np.concatenate([codes, last], axis=1))
        parts["i_scale"].append(scale.reshape(1, 1).view(np.uint8))
        parts["i_job"].append(pack_payloads(dut().i_job.p.shape(), [{
            "row_words": layout.row_words, "rows": problem.weight.shape[0],
            "four_bits": int(problem.bits == 4)}]))
        parts["i_words"].append(words)
    inputs = {name: np.concatenate(beats) for name, beats in parts.items()}
    rows = sum(problem.weight.shape[0] for problem in problems)
    return Traffic(inputs, {"o": len(problems), "o_logits": rows}, **keywords)


def check(problems, observed):
    assert unpack_payloads(dut().o.p.shape(), observed.outputs["o"]) == [
        problem.expected() for problem in problems]
    logits = np.concatenate([problem.logits() for problem in problems])
    assert np.array_equal(np.ascontiguousarray(observed.outputs["o_logits"]).view("<u4")[:, 0],
                          logits.view(np.uint32))


@pytest.fixture(scope="module")
def problems():
    """All sizes of last words and groups, 8 and 4 bits in turn, then some corners."""
    rng = np.random.default_rng(0)
    sizes = [(1, MAX_WIDTH), (2, 18), (3, 32), (7, 34), (MAX_ROWS, MAX_WIDTH), (MAX_ROWS - 1, 50)]
    made = [Problem(rng, rows, width, bits) for rows, width in sizes for bits in (8, 4)]
    for bits in (8, 4):
        below = Problem(rng, 20, 40, bits, hidden=np.zeros(40, np.float32))   # all logits are 0
        negative = Problem(rng, 1, 40, bits)                                  # a logit below 0
        negative.hidden = -negative.weight.dequantize()[0]
        made += [below, negative]
    return made


def test_choices_and_logits_are_the_runtimes_with_and_without_stalls(problems):
    stalls = [0.0, 0.3, *({stream: 0.9} for stream in STREAMS)]
    for observed in exchange(head(), [traffic(problems, stall=stall) for stall in stalls]):
        check(problems, observed)


def test_factors_may_come_from_registers(problems):
    for observed in exchange(head(2), [traffic(problems, stall=stall) for stall in (0.0, 0.3)]):
        check(problems, observed)


def test_a_word_is_taken_in_every_cycle():
    """Between the last code and the choice there are the words and the pipeline, nothing else."""
    rng = np.random.default_rng(1)
    problems = [Problem(rng, rows, 80, bits) for rows in (20, 40) for bits in (8, 4)]
    runs = [traffic([problem]) for problem in problems]
    beyond = set()
    for problem, run, observed in zip(problems, runs, exchange(head(), runs), strict=True):
        check([problem], observed)
        beyond.add(observed.cycles - len(run.inputs["i_words"]))
    assert len(beyond) == 1


def test_a_reset_drops_what_is_under_way(problems):
    runs = [traffic(problems, reset_after=cycle, stall=0.2) for cycle in (3, 30, 77, 200)]
    check(problems, exchange(head(), [*runs, traffic(problems)])[-1])


def test_half_as_many_words_of_four_bits():
    with never_elaborated():
        assert Head(word_bytes=64, lanes=4, max_width=6912, max_rows=9).max_words == 108
