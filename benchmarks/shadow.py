"""Perplexity of per-tensor int8 with and without llm.npu's shadow.

Its table is in docs/explanation/npu.md.

    python benchmarks/shadow.py                       # demo-llama, 8,192 held-out tokens: minutes

Everything but the layers' matrices stays in float. A small model has few outliers of its own, so
they are also made: ``--powers K`` multiplies some channels of every norm by 2^K and divides the
columns that read them by 2^K, which leaves every float product, and the perplexity, as it was.

Nats from float: the divergence of the next token's distribution from the float model's, a mean over
2,048 tokens. Columns in float: per linear and step of 512 tokens, and how many of them were hot.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np

import trilobite
from trilobite.model import LINEAR_NAMES
from trilobite.quant.checkpoint import open_checkpoint
from trilobite.runtime.decoder import Decoder
from trilobite.runtime.kernels.floating.float32 import Float32Linear
from trilobite.runtime.language_model import LanguageModel
from trilobite.sim.studies.shadow import (
    Placement,
    ShadowLinear,
    measure_ranges,
    pack_per_tensor,
    use_shadow,
)

_READERS = {"input_layernorm": LINEAR_NAMES[:3], "post_attention_layernorm": LINEAR_NAMES[4:6]}
HEAD = ("| outliers | what runs | perplexity | nats from float | columns in float | hot |\n"
        "|---|---|---|---|---|---|")
_COMPARED = 2048   # tokens


def float_weights(model: str) -> dict[str, np.ndarray]:
    """The layers' matrices by full name."""
    with open_checkpoint(model) as checkpoint:
        return {
            f"model.layers.{layer}.{name}": np.asarray(
                checkpoint.read(f"model.layers.{layer}.{name}.weight"), np.float32)
            for layer in range(checkpoint.config.num_layers) for name in LINEAR_NAMES
        }


def amplify(
    decoder: Decoder, weights: dict[str, np.ndarray], channels: np.ndarray, power: int
) -> dict[str, np.ndarray]:
    """Make ``channels`` of both norms 2^power times as large; the weights that undo it."""
    factor, changed = np.float32(2.0 ** power), dict(weights)
    for layer in decoder.layers:
        for norm, readers in _READERS.items():
            layer.norms[norm] = layer.norms[norm].copy()
            layer.norms[norm][channels] *= factor
            for name in readers:
                weight = weights[f"{layer.prefix}{name}"].copy()
                weight[:, channels] /= factor
                changed[f"{layer.prefix}{name}"] = weight
    use_float(decoder, changed)
    return changed


def use_float(decoder: Decoder, weights: dict[str, np.ndarray]) -> None:
    """Run the layers' matrices in float."""
    for layer in decoder.layers:
        for name in LINEAR_NAMES:
            layer.linears[name] = Float32Linear(weights[f"{layer.prefix}{name}"], None)


def log_probabilities(model: LanguageModel, ids: list[int]) -> np.ndarray:
    """Of the first tokens, float64 [tokens, vocab_size]."""
    found = []
    for first in range(0, min(_COMPARED, len(ids)), 512):
        logits = model.logits(ids[first:first + 512]).astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        found.append(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))
    return np.concatenate(found)


def rows(
    model: str, power: int, count: int, outliers: float, tokens: int, calibration: int
) -> Iterator[str]:
    """Lines of the table, as they are measured."""
    loaded = trilobite.load(model, kv="float32")
    decoder, weights = loaded.decoder, float_weights(model)
    if power:
        channels = np.random.default_rng(0).choice(decoder.config.hidden_size, count, replace=False)
        weights = amplify(decoder, weights, channels, power)
    said = f"{count} channels times {2 ** power}" if power else "the model's own"
    ids = loaded.held_out_tokens()[:tokens + 1]
    sequences = trilobite.calibration(model, sequences=calibration).sequences

    exact = log_probabilities(loaded, ids)

    def line(what: str, made: list[ShadowLinear] | None = None) -> str:
        value = loaded.perplexity_of_tokens(ids).value
        start = f"| {said} | {what} | {value:.2f} "
        far = (np.exp(exact) * (exact - log_probabilities(loaded, ids))).sum(axis=1).mean()
        if not made:
            return f"{start}| {far:.4f} | - | - |"
        hits, misses = (sum(getattr(one.hot, name) for one in made) for name in ("hits", "misses"))
        steps = len(made) * (tokens + _COMPARED) // 512
        share = f"{hits / (hits + misses):.0%}" if hits + misses else "-"
        return f"{start}| {far:.4f} | {(hits + misses) / steps:.1f} | {share} |"

    yield line("float")
    ranges, whole = (measure_ranges(decoder, sequences, share) for share in (outliers, 0.0))
    use_float(decoder, {name: pack_per_tensor(one).dequantize() for name, one in weights.items()})
    yield line("int8 weights, float activations")
    for what, of, placement in (
        ("int8, one scale that holds the largest", whole, Placement(shadow=False)),
        ("int8, clipped", ranges, Placement(shadow=False)),
        ("int8, clipped, with shadow", ranges, Placement()),
        ("the same, 50 % of the linears without", ranges, Placement(pruned=0.5)),
        ("the same, 85 % of the linears without", ranges, Placement(pruned=0.85)),
    ):
        yield line(what, use_shadow(decoder, weights, of, placement))


def main() -> None:
    """Print line by line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo-llama")
    parser.add_argument("--powers", nargs="+", type=int, default=[0, 6])
    parser.add_argument("--channels", type=int, default=2, help="that are made outliers")
    parser.add_argument("--outliers", type=float, default=0.01, help="share that is clipped")
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--calibration", type=int, default=16, help="sequences of 512 tokens")
    arguments = parser.parse_args()
    print(HEAD, flush=True)
    for power in arguments.powers:
        for line in rows(arguments.model, power, arguments.channels, arguments.outliers,
                         arguments.tokens, arguments.calibration):
            print(line, flush=True)


if __name__ == "__main__":
    main()
