"""What methods are for: none is worse than rounding, GPTQ wins back half of what it loses."""

import functools
import importlib.util
import json
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "quality.py"
SPEC = importlib.util.spec_from_file_location("quality", SCRIPT)
quality = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(quality)


@functools.cache
def perplexity(**options):
    return quality.measure("demo-llama", options, 0)["perplexity"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [row for row in quality.ROWS if "method" in row],
    ids=lambda row: quality.name_of(row, 0),
)
def test_no_method_is_worse_than_rounding(options):
    rounding = {name: value for name, value in options.items() if name != "method"}
    assert perplexity(**options) <= perplexity(**rounding)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["int4", "int3", "int2"])
def test_gptq_wins_back_half_of_what_rounding_loses(form):
    exact = perplexity(format="float")
    rounded = perplexity(format=form)
    assert perplexity(format=form, method="gptq") - exact <= 0.5 * (rounded - exact)


@pytest.mark.slow
@pytest.mark.parametrize(("form", "method", "bound"), [
    ("hlq2", "gptq", 26), ("ternary-group", "itf", 29), ("ternary-planes", "gptq", 24),
])
def test_a_method_keeps_what_its_format_allows(form, method, bound):
    assert perplexity(format=form, method=method) < bound


def test_rows_are_kept_and_not_measured_again(tmp_path, monkeypatch):
    row = {"format": "int2", "method": "gptq", "seed": 1, "kv": "auto", "bits": 2.1875,
           "group_size": 128, "perplexity": 25.5, "seconds": 11.2, "peak_bytes": 612_000_000}
    monkeypatch.setattr(quality, "ROWS", ({"format": "int2", "method": "gptq"},))
    (tmp_path / "int2_gptq_seed1.json").write_text(json.dumps(row))
    kept, = quality.rows("no such model", ["int2"], [1], tmp_path)
    assert quality.line(kept) == (
        "| int2 | 128 | gptq, seed 1 | 2.188 | 25.50 | 11 s | 612 MB |")
