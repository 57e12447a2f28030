"""``transformers`` as the judge of logits: a prompt in one piece, then tokens one by one."""

import numpy as np
import torch
from transformers import AutoModelForCausalLM

import trilobite

__all__ = ["DECODED", "PROMPT", "error_in_range", "expected_logits", "random_prompt",
           "runtime_logits"]

PROMPT, DECODED = 48, 16


def expected_logits(folder, prompt, loader=AutoModelForCausalLM):
    """Tokens [64] and logits [64, vocabulary]: the prompt's, then greedy decoding's."""
    model = loader.from_pretrained(
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
