"""What GPTQ is for: of the perplexity that rounding loses it wins back half, or more."""

import importlib.util
import json
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "quality.py"


@pytest.fixture(scope="module")
def quality():
    spec = importlib.util.spec_from_file_location("quality", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def perplexity(quality, **options):
    return quality.measure("demo-llama", options, 0)["perplexity"]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["int4", "int3", "int2"])
def test_gptq_wins_back_half_of_what_rounding_loses(quality, form):
    exact = perplexity(quality, format="float")
    rounded = perplexity(quality, format=form)
    assert perplexity(quality, format=form, method="gptq") - exact <= 0.5 * (rounded - exact)


@pytest.mark.slow
@pytest.mark.parametrize(("form", "method", "bound"), [
    ("hlq2", "gptq", 26), ("ternary-group", "itf", 29), ("ternary-planes", "gptq", 24),
])
def test_a_method_keeps_what_its_format_allows(quality, form, method, bound):
    assert perplexity(quality, format=form, method=method) < bound


def test_rows_are_kept_and_not_measured_again(quality, tmp_path, monkeypatch):
    row = {"format": "int2", "method": "gptq", "seed": 1, "kv": "auto", "bits": 2.1875,
           "group_size": 128, "perplexity": 25.5, "seconds": 11.2, "peak_bytes": 612_000_000}
    monkeypatch.setattr(quality, "ROWS", ({"format": "int2", "method": "gptq"},))
    (tmp_path / "int2_gptq_seed1.json").write_text(json.dumps(row))
    kept, = quality.rows("no such model", ["int2"], [1], tmp_path)
    assert quality.line(kept) == (
        "| int2 | 128 | gptq, seed 1 | 2.188 | 25.50 | 11 s | 612 MB |")
