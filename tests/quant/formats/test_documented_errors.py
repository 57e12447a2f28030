"""The table of docs/reference/formats.md, measured again."""

from pathlib import Path

import numpy as np
import pytest

from support.format_table import FORMAT_TABLE, nmse
from trilobite.quant.checkpoint import open_checkpoint

DOCUMENT = Path(__file__).parents[3] / "docs" / "reference" / "formats.md"


def documented() -> dict[str, list[str]]:
    """Bits and errors, as written, by format."""
    rows = [line.strip("| \n").split(" | ") for line in DOCUMENT.read_text().splitlines()]
    return {row[0].strip("`"): row[1:] for row in rows if row[0].startswith("`") and len(row) == 5}


@pytest.fixture(scope="module")
def weights():
    with open_checkpoint("demo-llama") as checkpoint:
        down_proj = checkpoint.read("model.layers.0.mlp.down_proj.weight")
    gauss = np.random.default_rng(0).standard_normal((2048, 1024)).astype(np.float32)
    laplace = np.random.default_rng(0).laplace(size=(2048, 1024)).astype(np.float32)
    return [gauss, laplace, down_proj]


def test_every_format_is_documented():
    assert set(documented()) == {repr(case.format) for case in FORMAT_TABLE}


@pytest.mark.parametrize("case", FORMAT_TABLE, ids=str)
def test_documented_size_and_errors(case, weights):
    bits, *errors = documented()[repr(case.format)]
    assert bits == f"{case.stored_bits:.3f}"
    for weight, written in zip(weights, errors, strict=True):
        error = nmse(case.format.quantize(weight).dequantize(), weight)
        assert float(written) == float(f"{error:.2g}")
