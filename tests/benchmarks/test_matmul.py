"""The matmul benchmark runs, checks its contenders' outputs, and says what it measured."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "matmul.py"


def run(*arguments):
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False
    )


def test_table_and_json(tmp_path):
    path = tmp_path / "result.json"
    printed = run(
        "--types", "ternary16,int4g128", "--shapes", "128x8", "--n", "1,20", "--peers", "numpy",
        "--threads", "1", "--seconds", "0", "--working-set", "0", "--json", path,
    )
    assert printed.returncode == 0, printed.stderr
    result = json.loads(path.read_text())
    cells = result["cells"]
    names = [(cell["kind"], cell["contender"], cell["N"]) for cell in cells]
    assert names == [
        (kind, contender, N)
        for kind in ("ternary16", "int4g128")
        for N in (1, 20)
        for contender in ("trilobite", "numpy float32")
    ]
    assert all(cell["microseconds"] > 0 and cell["gmac_per_s"] > 0 for cell in cells)
    assert all(cell["ratio"] == 1 for cell in cells if cell["contender"] == "trilobite")
    assert result["limits"][0]["read_gb_per_s"] > 0
    assert result["machine"]["kernel"] in {"vnni", "portable"}
    assert len(printed.stdout.splitlines()) == 2 + len(cells)
    summary = subprocess.run(
        [sys.executable, SCRIPT.with_name("summary.py"), path], capture_output=True, text=True,
        check=True,
    )
    assert len(summary.stdout.splitlines()) == 2 + 4
    assert all("numpy float32" in line for line in summary.stdout.splitlines()[2:])


def test_an_unknown_type_is_refused():
    printed = run("--types", "int5")
    assert printed.returncode == 2 and "no such type: int5" in printed.stderr
