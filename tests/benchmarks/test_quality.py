"""What GPTQ is for: of the perplexity that rounding loses it wins back half, or more."""

import importlib.util
from pathlib import Path

import pytest

import trilobite

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "quality.py"


@pytest.fixture(scope="module")
def quality():
    spec = importlib.util.spec_from_file_location("quality", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("form", ["int4", "int3", "int2"])
def test_gptq_wins_back_half_of_what_rounding_loses(quality, tmp_path, form):
    def perplexity(options):
        line = quality.measure("demo-llama", options, 0, tmp_path / "quantized")
        return float(line.split("|")[5])

    model = trilobite.load("demo-llama")
    exact = model.perplexity_of_tokens(model.held_out_tokens()).value
    rounded = perplexity({"format": form})
    assert perplexity({"format": form, "method": "gptq"}) - exact <= 0.5 * (rounded - exact)
