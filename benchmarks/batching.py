"""Tokens per second of a decode step that several sequences share.

    python benchmarks/batching.py bitnet-0.73b --format ternary --context 128

A random model of a shape is decoded for 1, 2, 4 and 8 sequences together, in turns, so that all of
them see the same machine. Every sequence holds ``--context`` tokens of random keys and values.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np

from trilobite.quant.formats import parse_format
from trilobite.runtime.decoder import Decoder
from trilobite.runtime.language_model import LanguageModel, Session
from trilobite.runtime.random_weights import random_weights
from trilobite.sim.descriptions.shapes import load_shape

COUNTS = (1, 2, 4, 8)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shape", nargs="?", default="bitnet-0.73b")
    parser.add_argument("--format", default="ternary")
    parser.add_argument("--context", type=int, default=128)
    parser.add_argument("--steps", type=int, default=12)
    options = parser.parse_args()
    described = load_shape(options.shape)
    config = described.config
    decoder = Decoder(config, random_weights(config, parse_format(options.format)))
    model = LanguageModel(Path(options.shape), decoder, "int8")
    model.warm_up()
    sessions = [_filled(model, options.context, options.steps * len(COUNTS) + 8)
                for _ in range(max(COUNTS))]
    seconds: dict[int, list[float]] = {count: [] for count in COUNTS}
    for count in COUNTS:   # what a first step compiles and touches
        model.step(sessions[:count], [0] * count)
    for _ in range(options.steps):
        for count in COUNTS:
            began = time.perf_counter()
            model.step(sessions[:count], [1] * count)
            seconds[count].append(time.perf_counter() - began)
    one = 1 / statistics.median(seconds[1])
    print(f"{options.shape}, {options.format}, {options.context} tokens of context")
    for count in COUNTS:
        rate = count / statistics.median(seconds[count])
        print(f"{count} sequences: {rate:8.1f} tokens/s, {rate / one:5.2f} times one")


def _filled(model: LanguageModel, context: int, more: int) -> Session:
    """A session that holds ``context`` tokens."""
    config = model.config
    session = model.session(context + more)
    generator = np.random.default_rng(0)
    shape = (context, config.num_kv_heads, config.head_dim)
    for layer in range(config.num_layers):
        session.cache.store(layer, 0, *(generator.standard_normal(shape, np.float32)
                                        for _ in range(2)))
    session.position = context
    return session


if __name__ == "__main__":
    main()
