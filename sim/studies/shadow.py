"""Per-tensor int8 with a shadow in float: what llm.npu runs on an NPU and, beside it, on the CPU.

An NPU multiplies int8 matrices with one scale per tensor, fixed beforehand. A few channels of the
activations are far larger than the others: a scale that holds them rounds the others away, and a
smaller one clips them. llm.npu (arXiv 2407.05858, section 3.3) clips, and adds what was cut off:

    q      = clip(rint(x / s), -127, 127)                 int8 [N, K], exact sums on the NPU
    shadow = (x - s q) restricted to what was clipped     float, some columns of x, on the CPU
    y      = (q W^T) s s_w + shadow W^T

with W = s_w times the int8 weights on both sides. Few channels are ever clipped: the weights of the
most frequent ones (hot) are kept in float32, those of others are made when they are needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ...errors import FormatError, TrilobiteError
from ...model import LINEAR_NAMES
from ...numerics import add, flush_array, mul, scale_sum
from ...quant.formats import Int8
from ...quant.formats.base import PackedWeight
from ...runtime.decoder import Decoder, Observer
from ...runtime.kernels.base import Linear
from ...runtime.kernels.integer.int8 import Int8Linear
from ...runtime.kv_cache.cache import make_cache
from ...tools.compiled import njit

__all__ = [
    "ActivationRanges",
    "HotChannels",
    "ShadowLinear",
    "ShadowPlacement",
    "clip_scale",
    "measure_ranges",
    "pack_per_tensor",
    "use_shadow",
]

_LARGEST = np.float32(127)
_FLOOR = np.float32(1e-5)   # of an activation's magnitude, as ``numerics.ABSMAX_FLOOR``


def pack_per_tensor(weight: np.ndarray) -> PackedWeight:
    """Float32 [M, K] as int8 with one scale, absmax / 127; every row states the same scale."""
    weight = flush_array(np.asarray(weight, np.float32))
    scale = max(np.float32(np.abs(weight).max()), np.float32(1e-30)) / _LARGEST
    codes = np.clip(np.rint(weight / scale), -127, 127).astype(np.int8)
    scales = np.full((len(weight), 1), scale, np.float32)
    return PackedWeight(Int8(), (weight.shape[0], weight.shape[1]),
                        {"packed": codes, "scale": scales})


class HotChannels:
    """Columns of an int8 weight in float32: those of ``hot`` kept, others made when asked for.

    ``hits`` and ``misses`` count the columns that were asked for; ``nbytes`` is what is kept.
    """

    def __init__(self, codes: np.ndarray, scale: np.float32, hot: Iterable[int]) -> None:
        self._codes, self._scale = codes, scale
        self._place = {channel: place for place, channel in enumerate(sorted(set(hot)))}
        self._kept = self._column(np.array(list(self._place), np.int64))
        self.hits = self.misses = 0

    @property
    def nbytes(self) -> int:
        """Bytes of the kept columns."""
        return self._kept.nbytes

    def columns(self, channels: np.ndarray) -> np.ndarray:
        """Float32 [channels, M]: the columns of W for int64 ``channels``."""
        found = np.empty((len(channels), len(self._codes)), np.float32)
        for row, channel in enumerate(channels.tolist()):
            place = self._place.get(channel)
            if place is None:
                self.misses += 1
                found[row] = self._column(np.array([channel]))[0]
            else:
                self.hits += 1
                found[row] = self._kept[place]
        return found

    def _column(self, channels: np.ndarray) -> np.ndarray:
        return flush_array(
            np.ascontiguousarray(self._codes[:, channels].T).astype(np.float32) * self._scale)


class ShadowLinear(Linear):
    """y = x W^T by int8 with one scale each for x and W, and the shadow of what was clipped.

    Parameters
    ----------
    weight
        Of ``pack_per_tensor``, [M, K].
    bias
        Float32 [M], or None.
    scale
        Of the activations, positive: what is above 127 times it is clipped.
    hot
        Channels whose weights are kept in float32.
    shadow
        Without it what is clipped is lost.

    Raises
    ------
    FormatError
        ``weight`` is not int8 with one scale, ``scale`` is not positive and finite, or a hot
        channel is none of K.
    """

    def __init__(
        self, weight: PackedWeight, bias: np.ndarray | None, scale: float,
        hot: Iterable[int] = (), shadow: bool = True,
    ) -> None:
        super().__init__(weight.shape, weight.format, bias)
        scales = np.unique(np.asarray(weight.tensors["scale"], np.float32))
        if not isinstance(weight.format, Int8) or len(scales) != 1:
            raise FormatError("A shadow linear takes an int8 weight with one scale")
        if not (np.isfinite(scale) and np.float32(scale) > 0):
            raise FormatError(f"The scale of activations must be positive and finite, not {scale}")
        hot = sorted(set(hot))
        if hot and not 0 <= hot[0] <= hot[-1] < self.shape[1]:
            raise FormatError(f"Hot channels must be 0 to {self.shape[1] - 1}, not {hot}")
        self.scale, self._weight_scale = np.float32(scale), scales[0]
        self._shadow = shadow
        self._integer = Int8Linear(weight, None)
        self.hot = HotChannels(weight.codes().values, self._weight_scale, hot)
        self.nbytes = self._integer.nbytes + self.hot.nbytes
        self._bias_or_empty = np.empty(0, np.float32) if self._bias is None else self._bias

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Float32 [N, M] from float32 ``x`` [N, K], the same bits for any N."""
        x = self._checked(x, np.float32)
        q, rest = split(x, self.scale)
        channels = np.flatnonzero(rest.any(axis=0)) if self._shadow else np.empty(0, np.int64)
        out = np.empty((len(x), self.shape[0]), np.float32)
        _outputs(self._integer.integer(q), np.ascontiguousarray(rest[:, channels]),
                 self.hot.columns(channels), self.scale, self._weight_scale, self._bias_or_empty,
                 out)
        return out

    def activations(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Int8 [N, K] of ``x``, and float32 [N] of the one scale."""
        return split(self._checked(x, np.float32), self.scale)[0], np.full(len(x), self.scale)

    def integer(self, q: np.ndarray) -> np.ndarray:
        """Exact int32 sums [N, M] of int8 ``q`` [N, K]."""
        return self._integer.integer(q)


def split(x: np.ndarray, scale: np.float32) -> tuple[np.ndarray, np.ndarray]:
    """Int8 codes of float32 ``x`` [N, K], and float32 [N, K]: x minus their value where clipped."""
    rounded = np.rint(x / scale)
    clipped = np.clip(rounded, -_LARGEST, _LARGEST)
    rest = np.where(rounded != clipped, x - clipped * scale, np.float32(0))
    return clipped.astype(np.int8), flush_array(rest)


@njit
def _outputs(
    sums: np.ndarray, rest: np.ndarray, columns: np.ndarray, scale_x: np.float32,
    scale_w: np.float32, bias: np.ndarray, out: np.ndarray,
) -> None:
    """Write ``out`` [N, M]: scaled sums, then the shadow channel by channel, then the bias."""
    for n in range(sums.shape[0]):
        for m in range(sums.shape[1]):
            shadow = np.float32(0)
            for channel in range(rest.shape[1]):
                if rest[n, channel] != 0:   # or the others' channels would change a token's bits
                    shadow = add(shadow, mul(rest[n, channel], columns[channel, m]))
            value = add(scale_sum(sums[n, m], scale_x, scale_w), shadow)
            out[n, m] = add(value, bias[m]) if bias.shape[0] else value


@dataclass(frozen=True)
class ActivationRanges:
    """The largest magnitude that calibration saw in each input channel of a linear: float32 [K].

    ``above`` counts, for ``clip`` (see ``clip_scale``), the tokens in which a channel was larger.
    """

    largest: np.ndarray
    clip: np.float32
    above: np.ndarray

    @property
    def importance(self) -> float:
        """How many times its clip the largest value is: what is lost without a shadow."""
        return float(self.largest.max() / self.clip)

    def hot(self, share: float) -> list[int]:
        """The channels that were clipped most often, at most ``share`` of all."""
        count = int(share * len(self.above))
        order = np.argsort(-self.above, kind="stable")[:count]
        return [int(channel) for channel in order if self.above[channel]]


def clip_scale(largest: np.ndarray, outliers: float) -> np.float32:
    """The largest magnitude after ``outliers`` of all channels, the largest ones, are set aside.

    At least one channel is set aside unless ``outliers`` is 0. This over 127 is the scale.

    Raises
    ------
    TrilobiteError
        ``outliers`` is not 0 to below 1.
    """
    if not 0 <= outliers < 1:
        raise TrilobiteError(f"The share of outlier channels must be 0 to below 1, not {outliers}")
    aside = 0 if outliers == 0 else max(1, int(outliers * len(largest)))
    return max(np.sort(largest)[::-1][min(aside, len(largest) - 1)], _FLOOR)


def measure_ranges(
    decoder: Decoder, sequences: np.ndarray, outliers: float
) -> dict[str, ActivationRanges]:
    """Ranges of every linear's inputs on int ``sequences`` [count, length], by full name.

    The decoder's own linears run, twice: for the ranges, and to count what is clipped.
    """
    largest: dict[str, np.ndarray] = {}
    above: dict[str, np.ndarray] = {}

    def widen(name: str, x: np.ndarray) -> None:
        if name.endswith(".input"):
            channels = np.abs(x).max(axis=0)
            largest[name] = np.maximum(largest.get(name, channels), channels)

    def count(name: str, x: np.ndarray) -> None:
        if name in clips:
            more = (np.abs(x) > clips[name]).sum(axis=0)
            above[name] = above.get(name, 0) + more

    _run(decoder, sequences, widen)
    clips = {name: clip_scale(channels, outliers) for name, channels in largest.items()}
    _run(decoder, sequences, count)
    return {name.removesuffix(".input"): ActivationRanges(channels, clips[name], above[name])
            for name, channels in largest.items()}


def _run(decoder: Decoder, sequences: np.ndarray, observe: Observer) -> None:
    for sequence in sequences:
        cache = make_cache("float32", decoder.config, len(sequence))
        decoder.hidden(sequence, cache, 0, observe)


@dataclass(frozen=True)
class ShadowPlacement:
    """How linears are placed: whether the NPU's part has a shadow, in how many of them.

    ``hot``: share of channels whose weights stay in float32. ``pruned``: of all linears, those of
    least importance, the share that has no shadow.
    """

    shadow: bool = True
    hot: float = 0.03
    pruned: float = 0.0


def use_shadow(
    decoder: Decoder, weights: Mapping[str, np.ndarray], ranges: Mapping[str, ActivationRanges],
    placement: ShadowPlacement,
) -> list[ShadowLinear]:
    """Replace all linears of a decoder's layers, and return them.

    ``weights`` gives float32 [M, K] by full name (``model.layers.0.mlp.up_proj``).

    Raises
    ------
    TrilobiteError
        ``placement.pruned`` or ``hot`` is not 0 to 1, or a linear has a bias, which float models
        with a shadow do not keep.
    """
    for name, value in (("pruned", placement.pruned), ("hot", placement.hot)):
        if not 0 <= value <= 1:
            raise TrilobiteError(f"The share of {name} must be 0 to 1, not {value}")
    order = sorted(ranges, key=lambda name: ranges[name].importance)
    bare = set(order[:round(placement.pruned * len(order))])
    made = []
    for layer in decoder.layers:
        for short in LINEAR_NAMES:
            if decoder.config.has_bias(short):
                raise TrilobiteError(f"{layer.prefix}{short} has a bias")
            name = f"{layer.prefix}{short}"
            found = ranges[name]
            made.append(ShadowLinear(
                pack_per_tensor(weights[name]), None, float(found.clip / _LARGEST),
                found.hot(placement.hot), placement.shadow and name not in bare))
            layer.linears[short] = made[-1]
    return made
