"""The runtime's logits against those of transformers, for every family and way of storing it.

Both read the same files. Float models run in float32 on both sides; a prompt goes through in one
piece, then tokens one by one through the KV caches.
"""

import numpy as np
import pytest

from support.checkpoints import VARIANTS
from support.transformers_judge import (
    DECODED,
    PROMPT,
    error_in_range,
    expected_logits,
    random_prompt,
    runtime_logits,
)


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
