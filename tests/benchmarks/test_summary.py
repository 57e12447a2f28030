"""The tables of the benchmarks' results, and how they get into documents."""

import json
from pathlib import Path

import pytest
import summary

ROOT = Path(__file__).parents[2]


def cell(contender, ratio, K=1024, rate=100.0, share=0.5, **other):
    place = {"kind": "ternary16", "N": 1, "threads": 1, "isa": "host", "M": 512}
    return place | {
        "contender": contender, "ratio": ratio, "K": K, "gmac_per_s": rate,
        "share_of_limit": share,
    } | other


CELLS = [
    cell("trilobite", 1.0), cell("trilobite", 1.0, K=2048, rate=400.0),
    cell("llama.cpp TQ2_0", 2.0), cell("llama.cpp TQ2_0", 2.0, K=2048),
    cell("onnxruntime 2 bit g128", 3.0), cell("onnxruntime 2 bit g128", 1.125, K=2048),
    cell("onnxruntime int8", 0.9), cell("onnxruntime int8", 0.9, K=2048),
    cell("numpy float32", 0.5), cell("numpy float32", 0.5, K=2048),
    cell("trilobite lookup", 0.75), cell("trilobite lookup", 0.75, K=2048),
]


def results(cells=(), rates=()):
    return {"machine": [], "limits": [], "cells": list(cells), "models": [], "rates": list(rates)}


def body(table):
    return [[word.strip() for word in line.split("|")[1:-1]] for line in table.splitlines()[2:]]


def test_the_best_peer_is_the_best_of_each_shape():
    (row,) = body(summary.matmul(results(CELLS)))
    assert row == [
        "ternary, 1.6 bits", "1", "1", "200", "50%", "1.50 (1.12 to 2.00)",
        "llama.cpp TQ2_0, onnxruntime 2 bit g128", "0.90 (0.90 to 0.90)",
    ]


def test_every_peer_has_its_own_ratio():
    (row,) = body(summary.matmul_peers(results(CELLS)))
    assert row[5].split("; ") == [
        "llama.cpp TQ2_0 2.00 (2.00 to 2.00)", "onnxruntime 2 bit g128 1.84 (1.12 to 3.00)",
        "onnxruntime int8 0.90 (0.90 to 0.90)", "numpy float32 0.50 (0.50 to 0.50)",
        "trilobite lookup 0.75 (0.75 to 0.75)",
    ]


def test_few_tokens_have_a_table_of_their_own_on_the_shapes_that_they_were_measured_on():
    cells = [
        *CELLS, cell("trilobite", 1.0, N=2, rate=150.0), cell("numpy float32", 5.0, N=2),
        cell("llama.cpp TQ2_0", 3.0, N=2), cell("onnxruntime int8", 0.8, N=2),
    ]
    (row,) = body(summary.few_tokens(results(cells)))
    assert row == [
        "ternary, 1.6 bits", "1", "100; 2.00; 0.90", "150; 3.00; 0.80", "-", "-", "-", "-",
    ]
    assert summary.matmul(results(cells)) == summary.matmul(results(CELLS))
    assert summary.matmul_peers(results(cells)) == summary.matmul_peers(results(CELLS))


def test_rows_are_in_the_order_of_types_tokens_threads():
    cells = [
        cell("trilobite", 1.0, kind=kind, N=N, threads=threads, isa=isa, share=None)
        for isa in ("avx2", "host") for threads in (2, 1) for N in (32, 1)
        for kind in ("int8", "ternary2")
    ]
    rows = [row[:3] for row in body(summary.matmul(results(cells)))]
    assert rows[:5] == [
        ["ternary, 2 bits", "1", "1"], ["ternary, 2 bits", "1", "2"],
        ["ternary, 2 bits", "32", "1"], ["ternary, 2 bits", "32", "2"], ["INT8", "1", "1"],
    ]
    assert rows[8][0] == "ternary, 2 bits, AVX2 only"
    assert all(row[4:6] == ["-", "-"] for row in body(summary.matmul(results(cells))))


def rate(stage, tokens, threads=1, ratio=2.0):
    return {
        "model": "bitnet-2b", "kind": "ternary2", "stage": stage, "tokens": tokens,
        "threads": threads, "tokens_per_second": 123.4, "llama_type": "TQ2_0",
        "llama_tokens_per_second": 61.7 if ratio else None, "ratio": ratio,
    }


def test_whole_models_are_beside_llama_cpp():
    rates = [rate("decode", 128), rate("prefill", 512, ratio=None), rate("decode", 128, threads=2)]
    table = summary.end_to_end(results(rates=rates))
    assert "decode after 128 | prefill of 512" in table.splitlines()[0]
    assert body(table) == [
        ["BitNet 2B-4T", "ternary, 2 bits", "1", "123; TQ2_0 61.7: 2.00", "123"],
        ["BitNet 2B-4T", "ternary, 2 bits", "2", "123; TQ2_0 61.7: 2.00", "-"],
    ]


def test_the_machine_is_described_with_its_largest_limits():
    found = results() | {
        "machine": [
            {"cpu": "A CPU", "llvm_cpu": "znver4", "features": features, "cores": 2,
             "python": "3.12", "numba": "0.68"}
            for features in (["avx2"], ["avx2", "avx512vnni"])
        ],
        "limits": [
            {"threads": threads, "isa": isa, "read_gb_per_s": read, "vnni_gmac_per_s": 7.0}
            for threads, isa, read in (
                (2, "host", 20.0), (1, "host", 10.0), (1, "host", 12.0), (1, "avx2", 99.0)
            )
        ],
    }
    assert summary.machine(found) == (
        "A CPU (LLVM's znver4; avx2, avx512vnni), 2 virtual cores. With 1 and 2 threads it reads "
        "12 and 20 GB/s and multiplies 7 and 7 GMAC/s by `vpdpbusd`. Python 3.12, numba 0.68."
    )


def test_only_blocks_are_rewritten(monkeypatch):
    monkeypatch.setitem(summary.BLOCKS, "matmul", lambda results: "| new |")
    text = "a\n<!-- table: matmul -->\n| old |\n| old |\n<!-- end of table -->\nb\n"
    new = "a\n<!-- table: matmul -->\n| new |\n<!-- end of table -->\nb\n"
    assert summary.rewritten(text, results()) == new
    assert summary.rewritten(new, results()) == new
    assert summary.rewritten("no block\n", results()) == "no block\n"
    with pytest.raises(ValueError, match="no table 'other'"):
        summary.rewritten(text.replace("table: matmul", "table: other"), results())


def write(path, cpu="x", cells=()):
    path.write_text(json.dumps({"machine": {"cpu": cpu}, "cells": list(cells)}))
    return path


def test_results_of_two_machines_are_refused(tmp_path):
    paths = [write(tmp_path / "a.json", "x"), write(tmp_path / "b.json", "y")]
    with pytest.raises(ValueError, match="different machines"):
        summary.read(paths)


def test_the_same_result_twice_is_refused(tmp_path):
    paths = [write(tmp_path / name, cells=CELLS[:1]) for name in ("a.json", "b.json")]
    assert summary.read(paths[:1])["cells"] == CELLS[:1]
    with pytest.raises(ValueError, match="twice"):
        summary.read(paths)


@pytest.mark.parametrize(
    "document", ["benchmarks.md", "results.md", "synthesis.md", "timing.md"])
def test_tables_in_documents_are_those_of_the_results(document):
    text = (ROOT / "docs" / "explanation" / document).read_text()
    assert "<!-- table:" in text
    found = summary.read(summary.RESULTS.glob("*.json"))
    assert text == summary.rewritten(text, found)   # else run benchmarks/summary.py on it
