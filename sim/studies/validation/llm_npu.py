"""llm.npu on a Snapdragon 8 Gen 3 (ASPLOS'25, arXiv 2407.05858): tables 3 and 5.

Table 3 gives milliseconds of single matrices. Per processor and precision one launch time and one
rate per number of tokens are fitted to four of its six rows; the two of 8192 outputs are held out.
Besides, each row is left out in turn. Table 5 gives whole prefills. The rate with chunks of 256
tokens is fitted to two of its five models, with table 3's launch time; the other three are held
out. The prompts had 1451 to 1672 tokens, each model its own number, which is not given: 1562 is the
middle.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ...descriptions.quantity import Quantity
from ...descriptions.soc import Processor, Rate, Soc, load_soc
from ..soc_tasks import LayerPlacement, LayerShape, chunked_prefill
from .row import Basis, Row

__all__ = [
    "CHUNK_EFFICIENCIES", "FITTED_MODELS", "MODELS", "RateFit", "chunk_errors", "fit_chunk_rate",
    "fit_table_3", "gated", "rows",
]

_SOURCE_3, _SOURCE_5 = "llm.npu table 3", "llm.npu table 5"

# Table 3: (tokens, K, M), then milliseconds by (processor, precision).
_SHAPES = (
    (64, 2048, 2048), (64, 2048, 8192), (64, 2048, 11008),
    (32, 4096, 4096), (32, 4096, 8192), (32, 4096, 11008),
)
_MILLISECONDS = {
    ("NPU", "int8"): (0.9, 1.5, 2.0, 1.7, 2.9, 4.1),
    ("CPU", "int8"): (4.2, 6.8, 11.6, 7.5, 13.1, 19.6),
    ("GPU", "float16"): (1.7, 4.8, 6.9, 3.1, 7.7, 10.4),
    ("NPU", "float16"): (252.0, 986.0, 1207.0, 1054.0, 2009.0, 3112.0),
}
_FITTED_SHAPES = (0, 2, 3, 5)
_BANDS_3 = {Basis.FITTED: 0.16, Basis.HELD_OUT: 0.40}
_BAND_LEFT_OUT = 0.56

_PROMPT, _CHUNK = 1562, 256
_PLACEMENT = LayerPlacement("NPU", "int8", "CPU", "int8")
FITTED_MODELS = ("Qwen1.5-1.8B", "LLaMA-2-7B")
CHUNK_EFFICIENCIES = np.geomspace(0.06, 0.15, 41)   # of the NPU's peak; steps of 2.3 %
_BANDS_5 = {Basis.FITTED: 0.05, Basis.HELD_OUT: 0.20}


def gated(layers: int, hidden: int, kv: int, inner: int) -> LayerShape:
    """A decoder whose heads are as wide as its residual, with a gated feed-forward part."""
    return LayerShape(
        layers, hidden, ((hidden, hidden), (kv, hidden), (kv, hidden)),
        ((hidden, hidden), (inner, hidden), (inner, hidden), (hidden, inner)),
    )


# Table 5: the models' shapes (config.json) and seconds of prefill.
MODELS = {
    "Qwen1.5-1.8B": (gated(24, 2048, 2048, 5504), 1.49),
    "Gemma-2B": (gated(18, 2048, 256, 16384), 1.68),
    "Phi-2-2.7B": (
        LayerShape(
            32, 2560, ((2560, 2560),) * 3, ((2560, 2560), (10240, 2560), (2560, 10240))
        ),
        2.79,
    ),
    "LLaMA-2-7B": (gated(32, 4096, 4096, 11008), 4.62),
    "Mistral-7B": (gated(32, 4096, 1024, 14336), 4.61),
}


@dataclass(frozen=True)
class RateFit:
    """Launch [s] and rates [operations/s] by number of tokens."""

    start: float
    rates: dict[int, float]

    def seconds(self, tokens: int, K: int, M: int) -> float:
        """Seconds of one matrix."""
        return self.start + 2 * tokens * K * M / self.rates[tokens]


def fit_table_3(processor: str, precision: str, used: tuple[int, ...] = _FITTED_SHAPES) -> RateFit:
    """Least squares of the relative error over the rows ``used``; the launch is not negative."""
    seconds = np.array(_MILLISECONDS[processor, precision])[list(used)] * 1e-3
    shapes = [_SHAPES[index] for index in used]
    counts = sorted({tokens for tokens, _, _ in shapes})
    columns = [np.ones(len(shapes))]
    columns += [
        np.array([2.0 * tokens * K * M * (tokens == count) for tokens, K, M in shapes])
        for count in counts
    ]
    scaled = np.stack(columns, axis=1) / seconds[:, None]
    unit = np.abs(scaled).max(axis=0)
    solution = np.linalg.lstsq(scaled / unit, np.ones(len(shapes)), rcond=None)[0] / unit
    if solution[0] < 0:
        rest = np.linalg.lstsq(scaled[:, 1:] / unit[1:], np.ones(len(shapes)), rcond=None)[0]
        solution = np.concatenate([[0.0], rest / unit[1:]])
    return RateFit(float(solution[0]), {
        count: float(1 / slope) for count, slope in zip(counts, solution[1:], strict=True)
    })


def prefill_seconds(soc: Soc, model: str) -> float:
    """Seconds of the prefill of one of table 5's models."""
    return chunked_prefill(soc, MODELS[model][0], _PROMPT, _CHUNK, _PLACEMENT).makespan


def fit_chunk_rate(errors: Mapping[str, np.ndarray]) -> float:
    """The one of ``CHUNK_EFFICIENCIES`` at which the models' squared errors add up to least.

    A grid, because the makespan of a schedule jumps by a few percent as tasks change places.
    """
    squares = sum(np.square(of_model) for of_model in errors.values())
    return float(CHUNK_EFFICIENCIES[int(np.argmin(squares))])


def chunk_errors(soc: Soc, models: Iterable[str] = FITTED_MODELS) -> dict[str, np.ndarray]:
    """Signed relative error of each model's prefill at every one of ``CHUNK_EFFICIENCIES``."""
    phones = [_with_chunk_efficiency(soc, float(one)) for one in CHUNK_EFFICIENCIES]
    return {
        model: np.array([prefill_seconds(phone, model) for phone in phones]) / MODELS[model][1] - 1
        for model in models
    }


def _with_chunk_efficiency(soc: Soc, efficiency: float) -> Soc:
    """``soc`` with another efficiency of its NPU's INT8 with 256 tokens."""
    def bucket_of(rate: Rate) -> Rate:
        if rate.precision != _PLACEMENT.linear_precision:
            return rate
        exact = Quantity(efficiency, efficiency, efficiency, "fraction", "derived", "being fitted")
        last = dataclasses.replace(rate.buckets[-1], efficiency=exact)
        return dataclasses.replace(rate, buckets=(*rate.buckets[:-1], last))

    def processor_of(processor: Processor) -> Processor:
        if processor.name != _PLACEMENT.linear:
            return processor
        return dataclasses.replace(processor, rates=tuple(map(bucket_of, processor.rates)))

    return dataclasses.replace(soc, processors=tuple(map(processor_of, soc.processors)))


def rows() -> list[Row]:
    """Both tables, computed from the bundled description of the device."""
    soc = load_soc("snapdragon-8-gen-3")
    return [*_rows_3(soc), *_rows_left_out(), *_rows_5(soc)]


def _rows_3(soc: Soc) -> list[Row]:
    found = []
    for (processor, precision), milliseconds in _MILLISECONDS.items():
        rate = soc.processor(processor).rate("matmul", precision)
        for index, ((tokens, K, M), reference) in enumerate(
            zip(_SHAPES, milliseconds, strict=True)
        ):
            seconds = rate.start.nominal * 1e-6 + rate.seconds(2 * tokens * K * M, tokens)
            basis = Basis.FITTED if index in _FITTED_SHAPES else Basis.HELD_OUT
            found.append(Row(
                _SOURCE_3, f"{processor} {precision}, {tokens} x {K} x {M}", "ms", seconds * 1e3,
                reference, basis, _BANDS_3[basis],
            ))
    return found


def _rows_left_out() -> list[Row]:
    """Each row of table 3, predicted from a fit to the other five."""
    found = []
    for (processor, precision), milliseconds in _MILLISECONDS.items():
        for index, ((tokens, K, M), reference) in enumerate(
            zip(_SHAPES, milliseconds, strict=True)
        ):
            others = tuple(other for other in range(len(_SHAPES)) if other != index)
            seconds = fit_table_3(processor, precision, others).seconds(tokens, K, M)
            found.append(Row(
                f"{_SOURCE_3}, each row left out in turn",
                f"{processor} {precision}, {tokens} x {K} x {M}", "ms", seconds * 1e3, reference,
                Basis.HELD_OUT, _BAND_LEFT_OUT,
            ))
    return found


def _rows_5(soc: Soc) -> list[Row]:
    found = []
    for model, (_, reference) in MODELS.items():
        basis = Basis.FITTED if model in FITTED_MODELS else Basis.HELD_OUT
        found.append(Row(
            _SOURCE_5, f"{model}, prefill of {_PROMPT} tokens", "s", prefill_seconds(soc, model),
            reference, basis, _BANDS_5[basis],
        ))
    return found
