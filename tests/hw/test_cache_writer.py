"""Keys and values on their way to the cache: what memory holds then is what attention reads."""

from functools import cache

import numpy as np
import pytest

from support.payloads import pack_payloads, unpack_payloads
from trilobite.hw.attention.attention_parameters import TILE, AttentionParameters
from trilobite.hw.attention.cache_layout import CacheLayout
from trilobite.hw.attention.cache_writer import CacheWriter
from trilobite.sim.verify.bench import Traffic, build, exchange

WORD_BYTES, LANES = 64, 2   # a word holds chunks of two tokens
PARAMETERS = AttentionParameters(WORD_BYTES, queries=1, lanes=LANES, max_head_dim=64,
                                 max_context=3 * TILE)
STREAMS = ("i_head", "i", "i_scale", "o_request", "o")
FIRST = 7        # word of the cache
UNTOUCHED = 0xA5


@cache
def dut():
    return CacheWriter(PARAMETERS, 20)


@cache
def writer():
    return build(dut(), "cache_writer")


class Cache:
    """Keys and values of random codes and scales, and the order in which their heads come."""

    def __init__(self, rng, tokens, head_dim):
        self.layout = CacheLayout(PARAMETERS, head_dim)
        shape = (2, tokens, head_dim)
        self.codes = rng.integers(-128, 128, shape).astype(np.int8)
        self.scales = np.exp(rng.standard_normal(shape[:2], np.float32))
        order = rng.permutation(2 * tokens)
        self.heads = [divmod(int(number), tokens) for number in order]

    def beats(self):
        fields, codes, scales = [], [], []
        for values, token in self.heads:
            fields.append({"word": FIRST + token // TILE * self.layout.tile_words,
                           "token": token % TILE, "values": values, "chunks": self.layout.chunks})
            row = self.codes[values, token].reshape(-1, LANES).view(np.uint8)
            last = np.zeros((len(row), 1), np.uint8)
            last[-1] = 1
            codes.append(np.concatenate([row, last], axis=1))
            scales.append(self.scales[values, token].reshape(1, 1).view(np.uint8))
        return {"i_head": pack_payloads(dut().i_head.p.shape(), fields),
                "i": np.concatenate(codes), "i_scale": np.concatenate(scales)}

    def expected(self):
        return self.layout.pack(self.codes[0], self.scales[0], self.codes[1], self.scales[1])


def traffic(cache, **keywords):
    heads = len(cache.heads)
    return Traffic(cache.beats(), {"o_request": 2 * heads, "o": heads * (cache.layout.chunks + 1)},
                   **keywords)


def written(observed, words):
    """Memory after all requests, and how often each byte of it was written."""
    memory = np.full((FIRST + words, WORD_BYTES), UNTOUCHED, np.uint8)
    times = np.zeros(memory.shape, int)
    beats = iter(observed.outputs["o"])
    for request in unpack_payloads(dut().o_request.p.shape(), observed.outputs["o_request"]):
        for word in range(request["word"], request["word"] + request["more"] + 1):
            beat = next(beats)
            strobe = np.unpackbits(beat[WORD_BYTES:], bitorder="little")[:WORD_BYTES].astype(bool)
            memory[word, strobe] = beat[:WORD_BYTES][strobe]
            times[word] += strobe
    assert next(beats, None) is None
    return memory, times


def check(cache, observed):
    expected = cache.expected()
    memory, times = written(observed, len(expected))
    assert not times[:FIRST].any()
    touched = times[FIRST:] == 1
    assert (times <= 1).all()
    np.testing.assert_array_equal(memory[FIRST:][touched], expected[touched])
    # What was not written is the place of tokens that did not come, which the layout leaves zero.
    assert touched.sum() == cache.codes.nbytes + cache.scales.nbytes
    assert not expected[~touched].any()


@pytest.fixture(scope="module")
def caches():
    """Heads of one chunk and of several; the last tile full, and not."""
    rng = np.random.default_rng(0)
    return [Cache(rng, tokens, head_dim)
            for tokens, head_dim in ((1, 64), (TILE + 5, 32), (21, 64))]


def test_memory_holds_what_attention_reads_with_and_without_stalls(caches):
    runs = [(cache, 0.0) for cache in caches]
    runs += [(caches[1], stall) for stall in (0.3, *({stream: 0.8} for stream in STREAMS))]
    observed = exchange(writer(), [traffic(each, stall=stall) for each, stall in runs])
    for (one, _), each in zip(runs, observed, strict=True):
        check(one, each)


def test_a_head_takes_a_cycle_for_each_beat_and_three_more(caches):
    observed = exchange(writer(), [traffic(one) for one in caches])
    for one, each in zip(caches, observed, strict=True):
        # The first request was announced in the cycle before the first code was taken.
        assert each.cycles == len(one.heads) * (one.codes.shape[2] // LANES + 3) - 1


def test_a_reset_drops_what_is_under_way(caches):
    cache = caches[1]
    runs = [traffic(cache, reset_after=cycle, stall=0.2) for cycle in (1, 10, 55, 200)]
    check(cache, exchange(writer(), [*runs, traffic(cache)])[-1])
