"""Logits in requests and words, with stalls on all streams."""

from functools import cache

import numpy as np
import pytest

from support.payloads import pack_payloads, unpack_payloads
from trilobite.hw.vocabulary.logit_writer import LogitWriter
from trilobite.sim.verify.bench import Traffic, build, exchange

WORD_BYTES, BURST = 8, 16


@cache
def dut():
    return LogitWriter(address_width=20, word_bytes=WORD_BYTES, max_rows=200)


def traffic(jobs, **keywords):
    """Jobs of (first word, logits)."""
    shape = dut().i_job.p.shape()
    inputs = {
        "i_job": pack_payloads(shape, [{"word": word, "rows": len(logits)}
                                       for word, logits in jobs]),
        "i": np.concatenate([logits for _, logits in jobs]).astype("<f4").reshape(-1, 1).view(
            np.uint8),
    }
    words = [-(-len(logits) * 4 // WORD_BYTES) for _, logits in jobs]
    requests = sum(-(-count // BURST) for count in words)
    return Traffic(inputs, {"o_request": requests, "o": sum(words)}, **keywords)


def written(observed):
    """Requests as (word, words), and the numbers of all words."""
    requests = [(one["word"], one["more"] + 1) for one in unpack_payloads(
        dut().o_request.p.shape(), observed.outputs["o_request"])]
    words = observed.outputs["o"][:, :WORD_BYTES]
    return requests, np.ascontiguousarray(words).view("<f4")


@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_all_logits_are_written_in_order(stall):
    rng = np.random.default_rng(3)
    jobs = [(word, rng.standard_normal(rows, np.float32))
            for word, rows in ((100, 1), (7, 2), (300, 31), (40, 32), (900, 33), (5, 200))]
    streams = ("i", "i_job", "o", "o_request")
    observed, = exchange(build(dut(), "logit-writer".replace("-", "_")), [
        traffic(jobs, stall=dict.fromkeys(streams, stall))])
    requests, numbers = written(observed)
    first = 0
    for word, logits in jobs:
        count = -(-len(logits) * 4 // WORD_BYTES)
        for begin in range(0, count, BURST):
            assert requests.pop(0) == (word + begin, min(BURST, count - begin))
        found = numbers[first:first + count].reshape(-1)[:len(logits)]
        assert np.array_equal(found.view(np.uint32), logits.view(np.uint32))
        first += count
    assert not requests
