"""Rows of the embedding beside the runtime's, and the requests that they take."""

from functools import cache

import numpy as np
import pytest

from support.payloads import pack_payloads, unpack_payloads
from support.vocabularies import random_vocabulary, vocabulary_words
from trilobite.hw.matmul.reference import unpack_floats
from trilobite.hw.vocabulary.embedding import Embedding
from trilobite.runtime.decoder import Embedding as RuntimeEmbedding
from trilobite.sim.verify.bench import Traffic, build, exchange

WORD_BYTES, LANES, MAX_BEATS = 16, 4, 20
STREAMS = ("i", "i_words", "o_request", "o")


@cache
def dut():
    return Embedding(lanes=LANES, word_bytes=WORD_BYTES, address_width=20, max_beats=MAX_BEATS)


@cache
def embedding():
    return build(dut(), "embedding")


class Lookup:
    """Tokens whose ids lie from number ``first`` of word ``ids`` on, and their table."""

    def __init__(self, rng, rows, width, bits, tokens, first):
        self.weight = random_vocabulary(rng, rows, width, bits)
        self.layout, self.words = vocabulary_words(self.weight, WORD_BYTES)
        self.tokens = rng.integers(0, rows, tokens)
        self.first, self.ids, self.table = first, int(rng.integers(50)), int(rng.integers(100, 150))

    def job(self):
        return {"ids": self.ids, "first": self.first, "tokens": len(self.tokens),
                "table": self.table, "group_words": self.layout.group_words,
                "row_words": self.layout.row_words, "beats": self.weight.shape[1] // LANES,
                "four_bits": int(self.layout.bits == 4)}

    def reads(self):
        """Requests (word, more) and the words that answer them."""
        numbers = WORD_BYTES // 4
        ids = np.zeros((self.first + len(self.tokens) + numbers, 1), "<i4")
        ids[self.first:self.first + len(self.tokens), 0] = self.tokens
        id_words = ids[:len(ids) // numbers * numbers].view(np.uint8).reshape(-1, WORD_BYTES)
        for number, token in enumerate(self.tokens, self.first):
            yield self.ids + number // numbers, id_words[number // numbers][None]
            group, row = divmod(int(token), self.layout.group_rows)
            scales = group * self.layout.group_words
            begin = scales + 1 + row * self.layout.row_words
            yield self.table + scales, self.words[scales][None]
            yield self.table + begin, self.words[begin:begin + self.layout.row_words]


def traffic(lookups, **keywords):
    reads = [read for lookup in lookups for read in lookup.reads()]
    jobs = pack_payloads(dut().i.p.shape(), [lookup.job() for lookup in lookups])
    beats = sum(len(lookup.tokens) * lookup.weight.shape[1] // LANES for lookup in lookups)
    return Traffic({"i": jobs, "i_words": np.concatenate([words for _, words in reads])},
                   {"o_request": len(reads), "o": beats}, **keywords)


def check(lookups, observed):
    expected = [{"word": word, "more": len(words) - 1}
                for lookup in lookups for word, words in lookup.reads()]
    requests = unpack_payloads(dut().o_request.p.shape(), observed.outputs["o_request"])
    assert requests == expected
    rows = np.concatenate([RuntimeEmbedding(lookup.weight)(lookup.tokens).ravel()
                           for lookup in lookups])
    got = unpack_floats(observed.outputs["o"], len(rows))
    np.testing.assert_array_equal(got.view(np.uint32), rows.view(np.uint32))


@pytest.fixture(scope="module")
def lookups():
    """Rows that end at every place of a word, of both kinds, ids that begin anywhere in a word."""
    rng = np.random.default_rng(0)
    widths = (LANES, 16, 20, 32, 36, LANES * MAX_BEATS)
    return [Lookup(rng, int(rng.integers(3, 40)), width, bits, int(rng.integers(1, 5)), first)
            for first, width in enumerate(widths) for bits in (8, 4)]


def test_rows_and_requests_are_right_with_and_without_stalls(lookups):
    stalls = [0.0, 0.3, *({stream: 0.9} for stream in STREAMS)]
    for observed in exchange(embedding(), [traffic(lookups, stall=stall) for stall in stalls]):
        check(lookups, observed)


def test_a_reset_drops_what_is_under_way(lookups):
    runs = [traffic(lookups, reset_after=cycle, stall=0.2) for cycle in (2, 9, 40, 133)]
    check(lookups, exchange(embedding(), [*runs, traffic(lookups)])[-1])
