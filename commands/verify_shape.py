"""``trilobite verify --shape``: cycles of a full-size model on the accelerator."""

from __future__ import annotations

from ..console import Output, make_table
from ..fpga.configuration import load_configuration
from ..quant.formats import Ternary
from ..runtime.random_weights import random_weights
from ..sim.bench.ddr import DdrTiming
from ..sim.full_size import PhaseCycles, count_phase
from ..sim.shapes import load_shape

__all__ = ["run"]

CLOCK = 250e6   # Hz, assumed: a 512-bit port then moves 16.0 GB/s, 83 % of the KV260's 19.2
_TIMING = DdrTiming(latency=60)


def run(output: Output, shape: str, phase: str, tokens: int, context: int, layers: int,
        hardware: str, seed: int) -> None:
    """Simulate some layers and the head of a shape with random weights; print the cycles."""
    config = load_shape(shape).config
    parameters = load_configuration(hardware)
    with output.progress("Compiling the model", 2) as advance:
        cycles = count_phase(
            config, random_weights(config, Ternary(), seed), parameters, phase, tokens, context,
            layers, _TIMING, progress=lambda description, done, total: advance(done, description))
    _print(output, shape, cycles)
    output.json({"shape": shape, "hardware": hardware, "clock": CLOCK, **cycles.to_json()})


def _print(output: Output, shape: str, cycles: PhaseCycles) -> None:
    table = make_table("counter", f">{cycles.layers} layers", f">{2 * cycles.layers} layers",
                       f">all {cycles.model_layers}")
    for name, value in cycles.one.items():
        table.add_row(name.replace("_", " "), f"{value:,}", f"{cycles.two[name]:,}",
                      f"{cycles.whole(name):,.0f}")
    output.print(table)
    seconds = cycles.whole() / CLOCK
    busy = cycles.whole("read_words") / cycles.whole()
    said = (f"time to first token {seconds:.3f} s for {cycles.tokens} tokens"
            if cycles.phase == "prefill"
            else f"{1 / seconds:.1f} tokens/s at context {cycles.context}")
    output.print(f"{shape}, at {CLOCK / 1e6:.0f} MHz: {said}; the port read a word in {busy:.0%} "
                 "of the cycles.")
