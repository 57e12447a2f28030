"""The picture of a schedule, from counters made up by hand."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from trilobite.fpga.events import COUNTERS
from trilobite.fpga.planner import plan_program
from trilobite.sim.report.schedule import Samples, draw_schedule
from trilobite.sim.verify.cycles.cases import HARDWARE, MODELS
from trilobite.sim.verify.full_size import layer_operators

SVG = "{http://www.w3.org/2000/svg}"
LAYER = ["quantize", "matmul", "attend", "quantize", "matmul", "quantize", "matmul", "quantize",
         "matmul"]   # spans: the three matmuls of q, k and v are one
PROGRAM = plan_program(MODELS["bitnet-96"], HARDWARE["small"].parameters, 10)


def samples(operations, cycles=10, words=4):
    """Counters that are looked at every ``cycles``; each operation takes as many."""
    counts = [dict.fromkeys(COUNTERS, 0)]
    for operation in operations:
        now = dict(counts[-1])
        now["cycles"] += cycles
        now[f"{operation}_cycles"] += cycles
        now["read_words"] += words
        counts.append(now)
    return Samples(np.array([[each[name] for name in COUNTERS] for each in counts]),
                   layer_operators(PROGRAM))


def test_operations_one_after_the_other():
    assert samples(["quantize", "matmul", "matmul", "attend"]).spans() == [
        ("quantize", 0, 10), ("matmul", 10, 30), ("attend", 30, 40)]


def test_what_followed_counts_from_zero():
    later = samples(["quantize", "matmul", "attend"]).after(10)
    assert later.spans() == [("matmul", 0, 10), ("attend", 10, 20)]
    assert later.of("read_words").tolist() == [0, 4, 8]


def test_a_layer_is_drawn_to_scale_and_named():
    drawn = ET.fromstring(draw_schedule(samples(LAYER), "a layer"))
    bars = [bar for bar in drawn.iter(f"{SVG}rect")]
    assert len(bars) == len(LAYER)
    widths = {float(bar.get("width")) for bar in bars}
    assert max(widths) - min(widths) < 0.02
    assert sum(map(float, (bar.get("width") for bar in bars))) == pytest.approx(820, abs=0.1)
    said = [text.text for text in drawn.iter(f"{SVG}text")]
    assert {"q k v", "attention", "o", "gate up", "down", "0.40 a cycle"} <= set(said)
    assert "prefers-color-scheme: dark" in drawn.find(f"{SVG}style").text


def test_what_is_no_layer_has_no_names():
    drawn = draw_schedule(samples(["embed", *LAYER]), "more than a layer & less")
    assert "gate up" not in drawn
    assert "layer &amp; less" in drawn


def test_a_layer_that_is_not_known_has_no_names():
    assert "gate up" not in draw_schedule(Samples(samples(LAYER).counts), "a layer")


def test_a_layer_is_named_where_the_one_before_still_ends():
    drawn = draw_schedule(samples(["matmul", *LAYER]), "a layer")
    assert drawn.count("gate up") == 1


def test_nothing_cannot_be_drawn():
    with pytest.raises(ValueError, match="nothing to draw"):
        draw_schedule(samples([]), "nothing")
