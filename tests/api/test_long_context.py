"""A model made for 65,536 positions at 32k: estimated, served, or refused by what is too small."""

import dataclasses

import pytest

import trilobite
from trilobite.errors import TrilobiteError
from trilobite.sim.descriptions.shapes import load_shape

SHORT = load_shape("bitnet-0.73b")
LONG = dataclasses.replace(
    SHORT, name="long", config=dataclasses.replace(SHORT.config, max_position_embeddings=65_536))
LENGTHS = {"prompt": 32_000, "tokens": 768}


def test_32k_are_estimated_by_formulas_and_the_cache_is_read_for_each_token():
    near, far = (trilobite.estimate(LONG, hardware="tlmm-kv260", prompt=prompt, tokens=8).results[0]
                 for prompt in (1000, 32_000))
    assert far.decode.dram_bytes - near.decode.dram_bytes == pytest.approx(
        31_000 * far.kv_bytes_per_position, rel=1e-3)
    assert far.rate.nominal < near.rate.nominal / 2


def test_what_is_too_small_for_32k_is_named():
    with pytest.raises(TrilobiteError, match="the context is 32768, and at most 4096 fit"):
        trilobite.estimate(LONG, hardware="kv260", **LENGTHS)
    warning, = trilobite.estimate(LONG, **LENGTHS).warnings
    assert "the context is 32768, and at most 4096 fit" in warning
    with pytest.raises(TrilobiteError, match="BitNet 0.73B holds 2048 positions"):
        trilobite.estimate(SHORT, **LENGTHS)


def test_requests_of_32k_are_served_one_by_one_and_two_do_not_fit():
    requests = [trilobite.Request(0.0, 32_000, 20), trilobite.Request(0.0, 31_000, 5)]
    served = trilobite.serve_sim(LONG, requests, slots=1)
    assert [one.output_tokens for one in served.policies] == [25] * 4
    with pytest.raises(TrilobiteError, match="caches of 2 requests need .* use fewer slots"):
        trilobite.serve_sim(LONG, requests, slots=2)
