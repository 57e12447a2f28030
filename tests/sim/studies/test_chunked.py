"""A prompt in fixed, padded chunks gives the bits of the whole prompt."""

import numpy as np
import pytest

from trilobite.api.models import load
from trilobite.errors import TrilobiteError
from trilobite.quant.pipeline import quantize
from trilobite.runtime.kv_cache.cache import make_cache
from trilobite.sim.studies.chunked import padded_length, prefill_in_chunks


@pytest.fixture(scope="module", params=["ternary", "int8"])
def model(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("chunked") / "model"
    source = "demo-bitnet" if request.param == "ternary" else "demo-llama"
    quantize(source, folder, format=request.param)
    return load(folder)


@pytest.mark.parametrize("kv", ["int8", "int4", "fp8"])
def test_hidden_states_and_what_follows_are_the_same_bits(model, kv):
    ids = np.array(model.held_out_tokens()[:45])
    decoder = model.decoder

    def after(cache):
        """Hidden states of two more tokens, one by one, over the prompt's keys and values."""
        return np.concatenate([decoder.hidden(ids[:1], cache, 45), decoder.hidden(ids[1:2], cache,
                                                                                  46)])

    whole = make_cache(kv, model.config, 64)
    hidden = decoder.hidden(ids, whole, 0)
    following = after(whole)
    for chunk in (1, 7, 16, 45, 64):
        cache = make_cache(kv, model.config, 64)
        found = prefill_in_chunks(decoder, cache, ids, chunk)
        assert np.array_equal(found.view(np.int32), hidden.view(np.int32)), chunk
        assert np.array_equal(after(cache).view(np.int32), following.view(np.int32)), chunk


def test_lengths():
    assert [padded_length(tokens, 16) for tokens in (1, 16, 17)] == [16, 16, 32]
    with pytest.raises(TrilobiteError, match="at least 1 token"):
        padded_length(5, 0)


@pytest.mark.parametrize(("tokens", "chunk"), [(0, 4), (9, 8)])
def test_what_does_not_fit_is_refused(model, tokens, chunk):
    cache = make_cache("int8", model.config, 15)
    with pytest.raises(TrilobiteError, match="it must be 1 to 15"):
        prefill_in_chunks(model.decoder, cache, [1] * tokens, chunk)
