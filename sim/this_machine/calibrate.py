"""The machine that one is on, as a device: bandwidth, rates of kernels and layers, start times.

``calibrate`` measures, ``description_text`` writes what ``soc.load_soc`` reads. Rates are of the
runtime's own kernels, threads included, so that ``runtime_estimate`` of the description predicts
the runtime on this machine. What cannot be measured without a meter, power and energy, is 0 and
says so.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...quant.formats import Int4, Int8, Ternary
from ...quant.formats.base import Format
from ...runtime.kernels.base import Linear
from ...runtime.linear import make_linear
from ...runtime.random_weights import packed_matrix
from ...tools.compiled import numba
from ...tools.progress import SILENT, Progress
from ..descriptions.soc import in_cache
from .calibrate_layers import LayerRate, attention_rates, elementwise_rates, step_rate
from .read_memory import read_words

__all__ = [
    "FORMATS",
    "MATMUL",
    "TOKENS",
    "KernelRate",
    "MachineCalibration",
    "cache_bytes",
    "calibrate",
    "description_text",
]

MATMUL = "matmul"
FORMATS: dict[str, Format] = {"ternary": Ternary(), "int4": Int4(), "int8": Int8()}
TOKENS = (1, 16, 128)      # buckets
_SHAPE = (4096, 4096)      # of the timed weights
_SECOND = (1024, 1024)     # a smaller weight: what it takes beyond its part is the start
_COLD_BYTES = 1 << 27      # of copies that calls with one token go round: more than caches hold
_CACHED_SHAPE, _CACHED_SECOND = (512, 512), (128, 128)   # the same, of weights that caches hold
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_READ_BYTES = 1 << 28
_ROUNDS = 5
_REPEATED = 64             # calls of a round that find their weight in the cache


@dataclass(frozen=True)
class KernelRate:
    """A format's kernel: operations per second by tokens at once, slowest, median and fastest.

    A multiply-accumulate is two operations. ``start``: seconds of a call without its work.
    ``operator``: ``MATMUL``, or that in cache.
    """

    format: str
    rates: dict[int, tuple[float, float, float]]
    start: float
    operator: str = MATMUL


@dataclass(frozen=True)
class MachineCalibration:
    """What this machine gave: bytes read per second (slowest, median, fastest), kernels' rates.

    ``cache``: bytes of the last cache, 0 where nobody says.
    """

    threads: int
    memory: int
    cache: int
    bandwidth: tuple[float, float, float]
    kernels: tuple[KernelRate, ...]
    layers: tuple[LayerRate, ...]


def calibrate(progress: Progress = SILENT) -> MachineCalibration:
    """Measure this machine with the number of threads that is set."""
    progress.start(len(FORMATS) + 6, "Measuring memory")
    bandwidth = _spread(_READ_BYTES / seconds for seconds in _read_times())
    kernels = []
    for name, form in FORMATS.items():
        _next(progress, name)
        kernels += [_kernel_rate(name, form), _cached_kernel_rate(name, form)]
    layers = []
    for cached in (False, True):
        _next(progress, "attention")
        layers += attention_rates(cached)
        _next(progress, "elementwise work")
        layers += elementwise_rates(cached)
    _next(progress, "steps")
    layers.append(step_rate())
    progress.advance()
    return MachineCalibration(
        numba.get_num_threads(), _memory_bytes(), cache_bytes(_CACHES), bandwidth,
        tuple(kernels), tuple(layers)
    )


def _next(progress: Progress, what: str) -> None:
    """One measurement is done, and that of ``what`` begins."""
    progress.advance()
    progress.doing(f"Measuring {what}")


def _spread(values: Iterator[float] | list[float]) -> tuple[float, float, float]:
    ordered = sorted(values)
    return ordered[0], statistics.median(ordered), ordered[-1]


def _read_times() -> list[float]:
    """Seconds to read ``_READ_BYTES`` bytes, by all threads together."""
    words = np.ones(_READ_BYTES // 8, np.int64)
    read_words(words)
    return [_seconds(lambda: read_words(words)) for _ in range(_ROUNDS)]


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _kernel_rate(name: str, form: Format) -> KernelRate:
    """The rate of a kernel whose weights no cache holds."""
    generator = np.random.default_rng(0)
    large = _copies(_SHAPE, form, generator)
    times = {
        tokens: _round_times(large if tokens == 1 else large[:1], tokens) for tokens in TOKENS
    }
    seconds = _round_times(_copies(_SECOND, form, generator), 1)
    return _rate(name, MATMUL, times, seconds, (_SHAPE, _SECOND))


def _cached_kernel_rate(name: str, form: Format) -> KernelRate:
    """The rate of a kernel whose weights stay in the cache, call after call."""
    generator = np.random.default_rng(0)
    linear, second = (make_linear(packed_matrix(shape, form, generator), None)
                      for shape in (_CACHED_SHAPE, _CACHED_SECOND))
    times = {tokens: _round_times([linear] * _REPEATED, tokens) for tokens in TOKENS}
    return _rate(name, in_cache(MATMUL), times, _round_times([second] * _REPEATED, 1),
                 (_CACHED_SHAPE, _CACHED_SECOND))


def _rate(
    name: str, operator: str, times: dict[int, list[float]], second: list[float],
    shapes: tuple[tuple[int, int], tuple[int, int]],
) -> KernelRate:
    """Rates, and the start: what one token's times of two shapes leave for no work at all."""
    work, less = map(_operations, shapes)
    slow, fast = statistics.median(times[1]), statistics.median(second)
    start = min(fast, max(0.0, fast - (slow - fast) * less / (work - less)))
    return KernelRate(name, {
        tokens: _spread([work * tokens / max(seconds - start, 0.1 * seconds) for seconds in taken])
        for tokens, taken in times.items()
    }, start, operator)


def _operations(shape: tuple[int, int]) -> int:
    """Operations for one token: a multiply-accumulate is two."""
    return 2 * shape[0] * shape[1]


def _copies(
    shape: tuple[int, int], form: Format, generator: np.random.Generator
) -> list[Linear]:
    """Linears of as many weights as no cache holds.

    Each has its own weight: a kernel may keep the bytes that it is given.
    """
    copies = [make_linear(packed_matrix(shape, form, generator), None)]
    for _ in range(_COLD_BYTES // copies[0].nbytes):
        copies.append(make_linear(packed_matrix(shape, form, generator), None))
    return copies


def _round_times(linears: list[Linear], tokens: int) -> list[float]:
    """Seconds of a call in each of ``_ROUNDS`` rounds, after one that does not count."""
    K = linears[0].shape[1]
    x = np.random.default_rng(0).standard_normal((tokens, K), np.float32)
    return [_round(linears, x) for _ in range(_ROUNDS + 1)][1:]


def _round(linears: list[Linear], x: np.ndarray) -> float:
    """Seconds of a call, the mean over ``linears``."""
    return _seconds(lambda: [linear(x) for linear in linears]) / len(linears)


def _memory_bytes() -> int:
    """Bytes of memory of the machine, as Linux says; 1 GiB where it does not."""
    path = Path("/proc/meminfo")
    if not path.exists():
        return 1 << 30
    return 1024 * int(path.read_text().split("MemTotal:")[1].split()[0])


def cache_bytes(folder: Path) -> int:
    """Bytes of the last of the caches that Linux lists in ``folder``; 0 where it lists none."""
    units = {"K": 1 << 10, "M": 1 << 20}
    sizes = {}
    for cache in folder.glob("index*"):
        size = (cache / "size").read_text().strip()
        sizes[int((cache / "level").read_text())] = int(size.rstrip("KM")) * units.get(size[-1], 1)
    return sizes[max(sizes)] if sizes else 0


def description_text(calibration: MachineCalibration) -> str:
    """The description as TOML, every value with its range, unit and source."""
    measured = f"trilobite calibrate, {calibration.threads} threads"
    low, nominal, high = (rate / 1e9 for rate in calibration.bandwidth)
    bandwidth = _quantity(low, nominal, high, "GB/s", "derived", f"measured: {measured}")
    unknown = "not measured: it takes a meter"
    lines = [
        "# This machine, as trilobite calibrate measured it.",
        'name = "this machine"', 'kind = "soc"', "", "[dram]",
        f"capacity = {_exact(calibration.memory, 'B', 'what the operating system says')}",
        f"peak = {_quantity(high, high, high, 'GB/s', 'derived', f'the fastest of {measured}')}",
        f"sustained = {bandwidth}",
        f"energy = {_quantity(0, 0, 0, 'pJ/bit', 'assumption', unknown)}", "", "[power]",
        f"idle = {_quantity(0, 0, 0, 'W', 'assumption', unknown)}", "", "[[processors]]",
        'name = "CPU"', 'kind = "cpu"', f"bandwidth = {bandwidth}",
        f"power = {_quantity(0, 0, 0, 'W', 'assumption', unknown)}",
        f"cache = {_exact(calibration.cache, 'B', 'the last level, as the system says')}",
    ]
    for kernel in calibration.kernels:
        M, K = _CACHED_SHAPE if kernel.operator == in_cache(MATMUL) else _SHAPE
        lines += _rate_lines(kernel.operator, kernel.format, kernel.rates, kernel.start,
                             f"[{M}, {K}]: {measured}")
    for layer in calibration.layers:
        lines += _rate_lines(layer.operator, layer.precision, layer.rates, layer.start, measured)
    return "\n".join(lines) + "\n"


def _rate_lines(
    operator: str, precision: str, rates: dict[int, tuple[float, float, float]], start: float,
    measured: str,
) -> list[str]:
    """A processor's rate, with the fastest of all as its peak."""
    peak = max(high for _, _, high in rates.values())
    fastest = _quantity(*_same(peak / 1e12), "TOPS", "derived", f"the fastest: {measured}")
    began = _quantity(*_same(1e6 * start), "us", "derived", f"a call without its work: {measured}")
    buckets = []
    for tokens, values in rates.items():
        low, nominal, high = (rate / peak for rate in values)
        efficiency = _quantity(low, nominal, high, "fraction", "derived", measured)
        buckets.append(f"    {{ tokens = {_exact(tokens, 'tokens', 'the bucket')}, "
                       f"efficiency = {efficiency} }},")
    return ["", "[[processors.rates]]", f'operator = "{operator}"', f'precision = "{precision}"',
            f"peak = {fastest}", f"start = {began}", "buckets = [", *buckets, "]"]


def _quantity(low: float, nominal: float, high: float, unit: str, kind: str, source: str) -> str:
    values = f"low = {float(low):.9g}, nominal = {float(nominal):.9g}, high = {float(high):.9g}"
    return f'{{ {values}, unit = "{unit}", kind = "{kind}", source = "{source}" }}'


def _same(value: float) -> tuple[float, float, float]:
    """A range of one value."""
    return value, value, value


def _exact(value: int, unit: str, source: str) -> str:
    return f'{{ value = {value}, unit = "{unit}", kind = "derived", source = "{source}" }}'
