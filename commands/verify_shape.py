"""``trilobite verify --shape``: cycles of a full-size model on the accelerator."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

from ..cli.console import Output, make_table
from ..errors import TrilobiteError
from ..fpga.configuration import load_configuration
from ..quant.formats import Int4, Int8, Ternary
from ..runtime.random_weights import random_weights
from ..sim.descriptions.ddr_timing import DdrTiming
from ..sim.descriptions.shapes import load_shape
from ..sim.report.schedule import draw_schedule
from ..sim.verify.full_size import PhaseCycles, count_phase

__all__ = ["parse_timing", "run"]

# Hz, assumed. A 512-bit port then moves at most 16.0 GB/s, 83 % of the KV260's 19.2: what refreshes
# and changes of rows leave of a DDR4 is in that share, so that beside it only latency is modelled.
CLOCK = 250e6
_TIMING = DdrTiming(latency=60)
_LOOKS = {"prefill": 2048, "decode": 256}   # cycles between two looks at the counters
_HEADS = {"int8": Int8(), "int4": Int4(group_size=None)}

# What the project set out to reach on a KV260: tokens/s at least, or seconds at most.
_GOALS = {
    ("bitnet-0.73b", "decode", 128): 75, ("bitnet-0.73b", "decode", 1024): 55,
    ("bitnet-0.73b", "prefill", 64): 0.10, ("bitnet-0.73b", "prefill", 128): 0.20,
    ("bitnet-2b", "decode", 128): 26,
}


def run(output: Output, shape: str, phase: str, tokens: int, context: int, layers: int,
        hardware: str, seed: int, head: str, ddr: str | None, schedule: Path | None) -> None:
    """Simulate some layers and the head of a shape with random weights; print the cycles."""
    config = load_shape(shape).config
    parameters = load_configuration(hardware)
    timing = parse_timing(ddr or "")
    weights = random_weights(config, Ternary(), seed, _HEADS[head])
    with output.progress("Compiling the model", 1) as advance:
        cycles = count_phase(
            config, weights, parameters, phase, tokens, context, layers, timing,
            look=_LOOKS[phase] if schedule else 0,
            progress=lambda description, done, total: advance(done / total, description))
    _print(output, shape, cycles, parameters.word_bytes)
    if schedule:
        title = (f"{layers} layer{'s' * (layers > 1)} of {shape}, "
                 + (f"prefill of {tokens} tokens" if phase == "prefill"
                    else f"decode at context {context}"))
        schedule.write_text(draw_schedule(cycles.samples, title) + "\n", encoding="utf-8")
        output.print(f"Schedule written to {schedule}", markup=False)
    output.json({"shape": shape, "hardware": hardware, "clock": CLOCK, "head": head,
                 "ddr": vars(timing), **cycles.to_json()})


def parse_timing(text: str) -> DdrTiming:
    """``name=cycles,name=cycles``: fields of ``DdrTiming`` that differ from the default.

    Raises
    ------
    TrilobiteError
        There is no such field, or a value is no number or out of range.
    """
    names = [field.name for field in fields(DdrTiming)]
    changes = {}
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        if name not in names or not value.isdecimal():
            raise TrilobiteError(f"--ddr {part!r} must be NAME=NUMBER; names are "
                                 f"{', '.join(names)}")
        changes[name] = int(value)
    try:
        return replace(_TIMING, **changes)
    except ValueError as error:
        raise TrilobiteError(f"--ddr {text!r}: {error}") from None


def _print(output: Output, shape: str, cycles: PhaseCycles, word_bytes: int) -> None:
    table = make_table("counter", f">{cycles.layers} layers", f">{cycles.layers} more",
                       f">all {cycles.model_layers}", ">share")
    whole = cycles.whole()
    for name, value in cycles.one.items():
        share = f"{cycles.whole(name) / whole:.1%}" if name.endswith("cycles") else ""
        table.add_row(name.replace("_", " "), f"{value:,}", f"{cycles.more[name]:,}",
                      f"{cycles.whole(name):,.0f}", share)
    output.print(table)
    seconds = whole / CLOCK
    words = [cycles.whole(name) for name in ("read_words", "write_words")]
    prefill = cycles.phase == "prefill"
    said = (f"time to first token {seconds:.3f} s for {cycles.tokens} tokens" if prefill
            else f"{1 / seconds:.1f} tokens/s at context {cycles.context}")
    output.print(
        f"{shape}, at {CLOCK / 1e6:.0f} MHz: {said}; the port moved a word in "
        f"{sum(words) / whole:.1%} of the cycles ({words[0] / whole:.1%} read), "
        f"{sum(words) * word_bytes / seconds / 1e9:.1f} GB/s.")
    goal = _GOALS.get((shape, cycles.phase, cycles.tokens if prefill else cycles.context))
    if goal is not None:
        met = seconds <= goal if prefill else 1 / seconds >= goal
        output.print(f"The goal is {'at most' if prefill else 'at least'} {goal}"
                     f"{' s' if prefill else ' tokens/s'}: {'met' if met else 'missed'}.")
