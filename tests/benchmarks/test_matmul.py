"""The matmul benchmark runs, checks its contenders' outputs, and says what it measured."""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

import matmul
import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "matmul.py"


def run(*arguments):
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("matmul") / "result.json"
    printed = run(
        "--types", "ternary16,int4g128", "--shapes", "128x8", "--n", "1,20", "--peers", "numpy",
        "--threads", "1,2", "--seconds", "0", "--working-set", "0", "--json", path,
    )
    assert printed.returncode == 0, printed.stderr
    return printed.stdout, json.loads(path.read_text())


def test_every_cell_is_measured_for_every_number_of_threads(small):
    printed, result = small
    cells = result["cells"]
    names = [(cell["threads"], cell["kind"], cell["N"], cell["contender"]) for cell in cells]
    assert names == [
        (threads, kind, N, contender)
        for threads in (1, 2)
        for kind in ("ternary16", "int4g128")
        for N in (1, 20)
        for contender in ("trilobite", "numpy float32")
    ]
    assert len(printed.splitlines()) == 2 * 2 + len(cells)


def test_what_a_cell_says_follows_from_its_rounds(small):
    _, result = small
    limits = {limit["threads"]: limit for limit in result["limits"]}
    for own, peer in zip(result["cells"][::2], result["cells"][1::2], strict=True):
        assert own["ratio"] == 1
        pairs = zip(peer["rounds_us"], own["rounds_us"], strict=True)
        assert peer["ratio"] == pytest.approx(
            statistics.median(theirs / ours for theirs, ours in pairs), rel=0.02
        )
        for cell in (own, peer):
            assert cell["microseconds"] == pytest.approx(
                statistics.median(cell["rounds_us"]), abs=0.01
            )
            work = cell["K"] * cell["M"] * cell["N"]
            assert cell["gmac_per_s"] == pytest.approx(work / cell["microseconds"] / 1e3)
        limit = limits[own["threads"]]
        if own["N"] == 1:
            share = own["weight_gb_per_s"] / limit["read_gb_per_s"]
            assert own["share_of_limit"] == pytest.approx(share)
        assert limit["read_gb_per_s"] > 0


def test_the_machine_is_told(small):
    machine = small[1]["machine"]
    assert machine["cpu"] and machine["cores"] >= 1
    assert machine["kernel"] in {"vnni", "avx512", "avx2", "portable"}


def test_a_ratio_is_the_median_of_ratios_not_the_ratio_of_medians():
    rounds = [
        {"int8": 1.0, "numpy float32": 2.0},
        {"int8": 2.0, "numpy float32": 12.0},
        {"int8": 4.0, "numpy float32": 4.0},
    ]
    arguments = argparse.Namespace(threads=2, isa="host")
    cell = matmul.cell_of("int8", "numpy float32", (1000, 2000, 4), 64_000_000, rounds, arguments)
    assert cell.ratio == 2.0   # of 2, 6 and 1; the medians' would be 4 / 2
    assert cell.microseconds == 4e6
    assert cell.gmac_per_s == 1000 * 2000 * 4 / 4e9
    assert cell.weight_gb_per_s == 0.016
    assert cell.contender == "numpy float32"
    assert matmul.cell_of("int8", "int8", (1, 1, 1), 1, rounds, arguments).contender == "trilobite"


def test_an_output_that_is_far_off_stops_the_run():
    exact = np.ones((2, 3), np.float32)
    matmul.check("near", exact * np.float32(1.1), exact)
    with pytest.raises(SystemExit, match="llama.cpp Q4_0: the output is off by 100%"):
        matmul.check("llama.cpp Q4_0", 2 * exact, exact)
    with pytest.raises(SystemExit):
        matmul.check("not written", np.full_like(exact, np.nan), exact)


def test_types_with_the_same_weight_share_a_round():
    assert matmul.groups(["ternary16", "int4", "ternary2", "fp8"]) == [
        ["ternary16", "ternary2"], ["int4", "fp8"]
    ]


def test_json_has_a_line_for_a_cell():
    result = {"machine": {"cpu": "x"}, "cells": [{"N": 1}, {"N": 2}]}
    text = matmul.written(result)
    assert json.loads(text) == result
    assert len(text.splitlines()) == 7


@pytest.mark.parametrize(("option", "value", "message"), [
    ("--types", "int5", "no such type: int5; there are ternary16, "),
    ("--peers", "mkl", "no such peer: mkl; there are llama.cpp, "),
    ("--bitnet-cpp", "/nowhere", "No *.so below /nowhere exports ggml_vec_dot_i2_i8_s"),
    ("--ik-llama", "/nowhere", "There is no libggml.so below /nowhere"),
    ("--isa", "sse", "invalid choice: 'sse'"),
])
def test_an_unknown_name_is_refused(option, value, message):
    printed = run(option, value)
    assert printed.returncode == 2 and message in printed.stderr
