"""The runtime's logits against those of transformers, for every family and way of storing it.

Both read the same files. Float models run in float32 on both sides; a prompt goes through in one
piece, then tokens one by one through the KV caches.
"""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

import trilobite
from support.checkpoints import VARIANTS

PROMPT, DECODED = 48, 16


def expected_logits(folder, prompt):
    """Tokens [64] and logits [64, vocabulary]: the prompt's, then greedy decoding's."""
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    tokens, pieces, cache = list(prompt), [], None
    step = list(prompt)
    with torch.inference_mode():
        while len(tokens) <= PROMPT + DECODED:
            output = model(torch.tensor([step]), past_key_values=cache, use_cache=True)
            cache = output.past_key_values
            pieces.append(output.logits[0].float().numpy())
            step = [int(pieces[-1][-1].argmax())]
            tokens += step
    return tokens[:-1], np.concatenate(pieces)


def runtime_logits(folder, tokens):
    session = trilobite.load(folder, kv="float32").session(len(tokens))
    pieces = [session.feed(tokens[:PROMPT])]
    pieces += [session.feed([token]) for token in tokens[PROMPT:]]
    return np.concatenate(pieces)


def random_prompt(seed):
    return np.random.default_rng(seed).integers(2, 128, PROMPT).tolist()


def error_in_range(found, expected):
    """Largest difference as a fraction of the range of the expected logits."""
    return np.abs(found - expected).max() / (expected.max() - expected.min())


@pytest.mark.parametrize("name", VARIANTS)
def test_float_model(library, name):
    tokens, expected = expected_logits(library(name), random_prompt(seed=1))
    found = runtime_logits(library(name), tokens)
    assert found.shape == expected.shape == (PROMPT + DECODED, 128)
    assert error_in_range(found, expected) < 1e-4
    assert np.ptp(expected) > 1


# An int8 activation next to a tie rounds to the other side on the other side of the comparison.
@pytest.mark.parametrize(("name", "reference"), [
    ("online", "online"), ("autobitlinear", "autobitlinear"), ("bitlinear", "bitlinear"),
    ("older", "online-silu"),
])
def test_bitnet(library, name, reference):
    same = positions = 0
    for seed in range(4):
        tokens, expected = expected_logits(library(reference), random_prompt(seed))
        found = runtime_logits(library(name), tokens)
        assert error_in_range(found, expected) < 2e-2
        same += (found.argmax(axis=1) == expected.argmax(axis=1)).sum()
        positions += len(tokens)
    assert same >= 0.99 * positions
