"""The machine that one is on, as a device: measured bandwidth, kernel rates, start times.

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

import numba
import numpy as np
from numba import njit, prange

from ..quant.formats import Int4, Int8, Ternary
from ..quant.formats.base import Format
from ..runtime.kernels.base import Linear
from ..runtime.linear import make_linear
from ..runtime.random_weights import packed_matrix

__all__ = ["FORMATS", "TOKENS", "Calibration", "KernelRate", "calibrate", "description_text"]

FORMATS: dict[str, Format] = {"ternary": Ternary(), "int4": Int4(), "int8": Int8()}
TOKENS = (1, 16, 128)      # buckets
_SHAPE = (4096, 4096)      # of the timed weights
_SMALL = (64, 128)         # whose time is that of starting
_COLD_BYTES = 1 << 27      # of copies that calls with one token go round: more than caches hold
_READ_BYTES = 1 << 28
_ROUNDS = 5
_LANES = 8                 # sums of a thread under way


@dataclass(frozen=True)
class KernelRate:
    """A format's kernel: operations per second by tokens at once, slowest, median and fastest.

    A multiply-accumulate is two operations. ``start``: seconds of a call with next to no work.
    """

    format: str
    rates: dict[int, tuple[float, float, float]]
    start: float


@dataclass(frozen=True)
class Calibration:
    """What this machine gave: bytes read per second (slowest, median, fastest), kernels' rates."""

    threads: int
    memory: int
    bandwidth: tuple[float, float, float]
    kernels: tuple[KernelRate, ...]


def calibrate(progress: Callable[[str], None] | None = None) -> Calibration:
    """Measure this machine with the number of threads that is set."""
    report = progress or (lambda description: None)
    report("memory")
    bandwidth = _spread(_READ_BYTES / seconds for seconds in _read_times())
    kernels = []
    for name, form in FORMATS.items():
        report(name)
        kernels.append(_kernel_rate(name, form))
    return Calibration(numba.get_num_threads(), _memory_bytes(), bandwidth, tuple(kernels))


def _spread(values: Iterator[float] | list[float]) -> tuple[float, float, float]:
    ordered = sorted(values)
    return ordered[0], statistics.median(ordered), ordered[-1]


@njit(parallel=True, cache=True)
def _read(words: np.ndarray, parts: int) -> np.int64:
    """Combine all words by exclusive or, a part in each thread."""
    totals = np.zeros(parts, np.int64)
    length = len(words) // parts
    for part in prange(parts):
        sums = np.zeros(_LANES, np.int64)
        for place in range(part * length, (part + 1) * length, _LANES):
            for lane in range(_LANES):
                sums[lane] ^= words[place + lane]
        for lane in range(_LANES):
            totals[part] ^= sums[lane]
    return totals.sum()


def _read_times() -> list[float]:
    """Seconds to read ``_READ_BYTES`` bytes, by all threads together."""
    words = np.ones(_READ_BYTES // 8, np.int64)
    parts = numba.get_num_threads()
    _read(words, parts)
    return [_seconds(lambda: _read(words, parts)) for _ in range(_ROUNDS)]


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _kernel_rate(name: str, form: Format) -> KernelRate:
    M, K = _SHAPE
    generator = np.random.default_rng(0)
    # Weights of their own: a kernel may keep the bytes that it is given.
    copies = [make_linear(packed_matrix(_SHAPE, form, generator), None)]
    for _ in range(_COLD_BYTES // copies[0].nbytes):
        copies.append(make_linear(packed_matrix(_SHAPE, form, generator), None))
    rates = {}
    for tokens in TOKENS:
        x = generator.standard_normal((tokens, K), np.float32)
        used = copies if tokens == 1 else copies[:1]
        _round(used, x)
        rates[tokens] = _spread([2 * M * K * tokens / _round(used, x) for _ in range(_ROUNDS)])
    small = make_linear(packed_matrix(_SMALL, form, generator), None)
    x = generator.standard_normal((1, _SMALL[1]), np.float32)
    small(x)
    start = min(_seconds(lambda: small(x)) for _ in range(100))
    return KernelRate(name, rates, start)


def _round(linears: list[Linear], x: np.ndarray) -> float:
    """Seconds of a call, the mean over ``linears``."""
    return _seconds(lambda: [linear(x) for linear in linears]) / len(linears)


def _memory_bytes() -> int:
    """Bytes of memory of the machine, as Linux says; 1 GiB where it does not."""
    path = Path("/proc/meminfo")
    if not path.exists():
        return 1 << 30
    return 1024 * int(path.read_text().split("MemTotal:")[1].split()[0])


def description_text(calibration: Calibration) -> str:
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
    ]
    for kernel in calibration.kernels:
        peak = max(high for _, _, high in kernel.rates.values())
        fastest = _quantity(*[peak / 1e12] * 3, "TOPS", "derived", f"the fastest: {measured}")
        start = _quantity(*[1e6 * kernel.start] * 3, "us", "derived", f"a small call: {measured}")
        lines += [
            "", "[[processors.rates]]", 'operator = "matmul"', f'precision = "{kernel.format}"',
            f"peak = {fastest}", f"start = {start}", "buckets = [",
        ]
        for tokens, rates in kernel.rates.items():
            efficiency = _quantity(*(rate / peak for rate in rates), "fraction", "derived",
                                   f"[4096, 4096]: {measured}")
            lines.append(f"    {{ tokens = {_exact(tokens, 'tokens', 'the bucket')}, "
                         f"efficiency = {efficiency} }},")
        lines.append("]")
    return "\n".join(lines) + "\n"


def _quantity(low: float, nominal: float, high: float, unit: str, kind: str, source: str) -> str:
    values = f"low = {float(low):.9g}, nominal = {float(nominal):.9g}, high = {float(high):.9g}"
    return f'{{ {values}, unit = "{unit}", kind = "{kind}", source = "{source}" }}'


def _exact(value: int, unit: str, source: str) -> str:
    return f'{{ value = {value}, unit = "{unit}", kind = "derived", source = "{source}" }}'
