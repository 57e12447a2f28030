"""Perplexity of per-tensor int8 with and without llm.npu's shadow; see docs/explanation/npu.md.

Everything but the layers' matrices stays in float. A small model has few outliers of its own, so
they are also made: some channels of every norm are multiplied by 2^K and the columns that read them
divided by 2^K, which leaves every float product, and the perplexity, as it was.

Nats from float: the divergence of the next token's distribution from the float model's, a mean over
2,048 tokens. Columns in float: per linear and step of 512 tokens, and how many of them were hot.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ....model import LINEAR_NAMES
from ....quant.checkpoint import open_checkpoint
from ....runtime.calibration_text import choose_text
from ....runtime.decoder import Decoder
from ....runtime.kernels.floating.float32 import Float32Linear
from ....runtime.language_model import LanguageModel
from ....tools.progress import Progress
from ..shadow import ShadowLinear, ShadowPlacement, measure_ranges, pack_per_tensor, use_shadow
from ..study import StudyTable

__all__ = ["rows", "tables"]

_MODEL, _TOKENS = "demo-llama", 8192
_POWERS = (0, 6)     # of two, by which channels are made outliers
_CHANNELS = 2        # that are made so
_OUTLIERS = 0.01     # the share that is clipped
_CALIBRATION = 16    # sequences of 512 tokens
_READERS = {"input_layernorm": LINEAR_NAMES[:3], "post_attention_layernorm": LINEAR_NAMES[4:6]}
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
    """The logarithms of the first tokens' probabilities, float64 [tokens, vocab_size]."""
    found = []
    for first in range(0, min(_COMPARED, len(ids)), 512):
        logits = model.logits(ids[first:first + 512]).astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        found.append(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))
    return np.concatenate(found)


def rows(power: int, outliers: float = _OUTLIERS) -> Iterator[tuple[str, ...]]:
    """Rows of the table, as they are measured; ``outliers``: the share that is clipped."""
    with open_checkpoint(_MODEL) as checkpoint:
        decoder = Decoder(checkpoint.config, checkpoint.weight)
        loaded = LanguageModel(checkpoint.folder, decoder, "float32")
    weights = float_weights(_MODEL)
    if power:
        channels = np.random.default_rng(0).choice(
            decoder.config.hidden_size, _CHANNELS, replace=False)
        weights = amplify(decoder, weights, channels, power)
    ids = loaded.held_out_tokens()[:_TOKENS + 1]
    text = choose_text(loaded.folder, decoder.config, None, _CALIBRATION, 0)
    exact = log_probabilities(loaded, ids)

    def row(what: str, made: list[ShadowLinear] | None = None) -> tuple[str, ...]:
        value = loaded.perplexity_of_tokens(ids).value
        far = (np.exp(exact) * (exact - log_probabilities(loaded, ids))).sum(axis=1).mean()
        if not made:
            return what, f"{value:.2f}", f"{far:.4f}", "-", "-"
        hits, misses = (sum(getattr(one.hot, name) for one in made) for name in ("hits", "misses"))
        steps = len(made) * (_TOKENS + _COMPARED) // 512
        share = f"{hits / (hits + misses):.0%}" if hits + misses else "-"
        return what, f"{value:.2f}", f"{far:.4f}", f"{(hits + misses) / steps:.1f}", share

    yield row("float")
    ranges, whole = (measure_ranges(decoder, text.sequences, share) for share in (outliers, 0.0))
    use_float(decoder, {name: pack_per_tensor(one).dequantize() for name, one in weights.items()})
    yield row("int8 weights, float activations")
    for what, of, placement in (
        ("int8, one scale that holds the largest", whole, ShadowPlacement(shadow=False)),
        ("int8, clipped", ranges, ShadowPlacement(shadow=False)),
        ("int8, clipped, with shadow", ranges, ShadowPlacement()),
        ("the same, 50 % of the linears without", ranges, ShadowPlacement(pruned=0.5)),
        ("the same, 85 % of the linears without", ranges, ShadowPlacement(pruned=0.85)),
    ):
        yield row(what, use_shadow(decoder, weights, of, placement))


def tables(progress: Progress) -> Iterator[StudyTable]:
    """The model's own outliers; then two channels of every norm made 64 times as large."""
    for power in _POWERS:
        progress.doing(f"measuring outliers times {2 ** power}")
        yield StudyTable(
            f"{_MODEL}, {_TOKENS:,} held-out tokens; "
            + (f"{_CHANNELS} channels times {2 ** power}" if power else "its own outliers"),
            ("what runs", "perplexity", "nats from float", "columns in float", "hot"),
            tuple(rows(power)),
        )
