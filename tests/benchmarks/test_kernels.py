"""The kernel benchmark runs and says what it measured."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kernels.py"


def test_table_and_json(tmp_path):
    result = tmp_path / "cells.json"
    printed = subprocess.run(
        [sys.executable, SCRIPT, "--shapes", "8x128", "--tokens", "1", "20", "--formats", "ternary",
         "int4", "--seconds", "0", "--working-set", "0", "--json", result],
        capture_output=True, text=True, check=True,
    )
    cells = json.loads(result.read_text())
    names = [cell["kernel"] for cell in cells]
    assert names == ["numpy float32"] * 2 + ["ternary"] * 2 + ["int4"] * 2
    assert [cell["tokens"] for cell in cells] == [1, 20] * 3
    assert all(cell["median_us"] > 0 and cell["gmac_per_s"] > 0 for cell in cells)
    assert [cell["ratio"] for cell in cells[:2]] == [1, 1]
    assert len(printed.stdout.splitlines()) == 1 + len(cells)
