"""A prompt in chunks of one fixed size, as an NPU's graphs want it: the last one is padded.

What llm.npu (arXiv 2407.05858, section 3.2) builds once and uses for every chunk are graphs of one
shape. Chunks see the keys and values of those before, so the result is the whole prompt's; a
quantized model gives the very same bits, because no sum depends on how many tokens pass at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import TrilobiteError
from ...runtime.decoder import Decoder
from ...runtime.kv_cache.cache import KVCache

__all__ = ["padded_length", "prefill_in_chunks"]

_PADDING = 0   # a token id; nothing that is kept depends on it


def padded_length(tokens: int, chunk: int) -> int:
    """``tokens`` rounded up to whole chunks.

    Raises
    ------
    TrilobiteError
        ``chunk`` is below 1.
    """
    if chunk < 1:
        raise TrilobiteError(f"A chunk has at least 1 token, not {chunk}")
    return -(-tokens // chunk) * chunk


def prefill_in_chunks(
    decoder: Decoder, cache: KVCache, token_ids: Sequence[int], chunk: int
) -> np.ndarray:
    """Final hidden states float32 [N, hidden_size] of a prompt, every pass of ``chunk`` tokens.

    ``cache`` is empty and receives the prompt; behind it stand keys and values of the padding,
    which the tokens that follow overwrite before any of them is read.

    Raises
    ------
    TrilobiteError
        ``chunk`` is below 1, there is no token, or the padded prompt is longer than the cache or
        than the model's positions.
    """
    ids = np.asarray(token_ids, np.int64)
    length = padded_length(len(ids), chunk)
    limit = min(cache.capacity, decoder.config.max_position_embeddings)
    if not 0 < length <= limit:
        raise TrilobiteError(
            f"A prompt of {len(ids)} tokens is {length} in chunks of {chunk}; it must be 1 to "
            f"{limit}"
        )
    padded = np.full(length, _PADDING, np.int64)
    padded[:len(ids)] = ids
    hidden = [decoder.hidden(padded[start:start + chunk], cache, start)
              for start in range(0, length, chunk)]
    return np.concatenate(hidden)[:len(ids)]
