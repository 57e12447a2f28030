"""TPI-LLM: link terms, its worked case, and seconds per token by model.

Weights in FP32 are read from flash while a token passes the layers. The rate of reading is not
given; it is fitted to the 7B model of each table, and the other models follow by their bytes, as if
computing and all-reduces always hid behind reading.
"""

from __future__ import annotations

from ..soc_tasks import LayerShape
from ..tensor_parallel import BlockTimes, Topology, link_term, stream_weights
from .llm_npu import gated
from .row import Basis, Row

__all__ = ["rows"]

_SOURCE = "TPI-LLM"
# Four laptops, a 7B model; seconds.
_WORKED_CASE = BlockTimes(
    attention=0.011, ffn=0.017, all_reduce=0.014, load_attention=0.018, load_ffn=0.030
)
_WINDOW = 4
_MODELS = {
    "Llama-2-7B": gated(32, 4096, 4096, 11008), "Llama-2-13B": gated(40, 5120, 5120, 13824),
    "Llama-3-8B": gated(32, 4096, 1024, 14336), "Yi-34B": gated(60, 7168, 1024, 20480),
    "Llama-2-70B": gated(80, 8192, 1024, 28672),
}
_FITTED = "Llama-2-7B"
# Seconds per token: table 1, 8 devices at 300 Mb/s; table 3, 4 laptops.
_SECONDS = {
    "table 1, 8 devices": {
        "Llama-2-7B": 2.6, "Llama-2-13B": 2.9, "Yi-34B": 13.7, "Llama-2-70B": 26.1,
    },
    "table 3, 4 laptops": {
        "Llama-2-7B": 5.0, "Llama-2-13B": 9.0, "Llama-3-8B": 8.0, "Yi-34B": 29.0,
    },
}
_BAND = 0.80


def rows() -> list[Row]:
    """Formulas, then seconds."""
    return [*_formulas(), *_worked_case(), *_tables()]


def _formulas() -> list[Row]:
    references: tuple[tuple[Topology, int], ...] = (("star", 8), ("tree", 16), ("ring", 56))
    return [
        Row(_SOURCE, f"all-reduce over 8 nodes, {topology}", "link latencies",
            link_term(topology, 8), reference, Basis.FORMULA, 0.0)
        for topology, reference in references
    ]


def _worked_case() -> list[Row]:
    """The case is loose: with room enough a layer takes its computing and its all-reduces."""
    layers = _MODELS[_FITTED].layers
    whole = stream_weights(_WORKED_CASE, layers, _WINDOW).makespan
    shorter = stream_weights(_WORKED_CASE, layers - 1, _WINDOW).makespan
    return [
        Row(_SOURCE, "worked case, a layer of 7B", "ms", 1e3 * (whole - shorter), 56,
            Basis.FORMULA, 1e-6),
        Row(_SOURCE, "worked case, a token of 7B, beside table 3", "s/token", whole,
            _SECONDS["table 3, 4 laptops"][_FITTED], Basis.HELD_OUT, 0.70),
    ]


def _tables() -> list[Row]:
    found = []
    for table, seconds in _SECONDS.items():
        rate = _streamed(_MODELS[_FITTED], 1.0) / seconds[_FITTED]
        for model, reference in seconds.items():
            fitted = model == _FITTED
            found.append(Row(
                _SOURCE, f"{table}: {model}", "s/token", _streamed(_MODELS[model], rate),
                reference, Basis.FITTED if fitted else Basis.HELD_OUT, 1e-6 if fitted else _BAND,
            ))
    return found


def _streamed(shape: LayerShape, rate: float) -> float:
    """Seconds to stream a model's layers, ``rate`` weights per second."""
    def load(*matrices: tuple[int, int]) -> float:
        return sum(M * K for M, K in matrices) / rate

    times = BlockTimes(
        attention=0.0, ffn=0.0, all_reduce=0.0, load_attention=load(*shape.before, shape.after[0]),
        load_ffn=load(*shape.after[1:]),
    )
    return stream_weights(times, shape.layers, _WINDOW).makespan
