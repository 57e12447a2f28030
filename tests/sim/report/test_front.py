"""The page of the front: every design with its tooltip, nothing unescaped, nothing loaded."""

import re

from trilobite.sim.report.front import front_page

HOSTILE = "<script>alert('x')</script>"


def design(rate, **changes):
    return {
        "device": "KV260", "format": "ternary", "lanes": 4, "queries": 4, "mhz": 250.0,
        "engine": {"group_size": 3, "tables": 8, "columns": 16}, "urams": 40, "policy": "whole",
        "kv_bits": 8, "perplexity": 21.2, "first_token": 0.5, "tokens_per_second": rate,
        "joules_per_token": 7 / rate, "lut": 100_000.0, "lut_share": 0.85, "dsp": 560.0,
        "watts": 7.0, "pause": 0.6,
    } | changes


def document(**changes):
    front = [design(70.0), design(30.0, format="int4-fp8", engine={"rows": 8, "lanes": 4})]
    return {
        "model": HOSTILE, "devices": ["KV260"], "hardware": "TLMM", "points": 1_000,
        "within_power": 900, "within_lut": 800, "within_pause": 1_000, "within_all": 700,
        "perplexity_model": "demo-bitnet", "perplexity_tokens": 86_528,
        "fit_errors": {"ternary lut": {"fitted": 0.015}}, "answer": "The fastest one.",
        "best": front[0], "front": front, "checked": [], "whole": [],
        "published": [{"name": "TeLLMe v2", "tokens_per_second": 25.0, "joules_per_token": 0.19,
                       "watts": 4.8, "first_token": None}],
    } | changes


def test_every_design_is_a_point_with_a_tooltip_and_a_row():
    shown = front_page(document())
    assert "The fastest one." in shown
    # Only the rate over joules differs; LUT, first token and perplexity are the same in both.
    assert shown.count("<circle") == 3 and shown.count('class="chosen"') == 1
    assert "ternary 3x8x16, 4 lanes, 250 MHz, 40 URAM, whole, int8 cache, KV260: 70.0" in shown
    assert "int4-fp8 8x4, 4 lanes" in shown
    assert len(re.findall(r'<th scope="row">(ternary|int4-fp8)', shown)) == 2
    assert "TeLLMe v2: 25.0 tokens/s, as published" in shown
    assert "ternary lut: 1.5 % fitted" in shown


def test_names_are_escaped_and_nothing_is_loaded():
    shown = front_page(document())
    assert "<script" not in shown and "&lt;script" in shown
    assert not re.search(r"\b(src|href|url\()", shown)


def test_checked_engines_are_listed():
    row = {"format": "ternary", "engine": {"group_size": 3, "tables": 8, "columns": 16},
           "shapes": [[4, 4, 1]], "cycles": [1000], "predicted": [1010], "worst_error": 0.01,
           "mismatches": 0}
    shown = front_page(document(checked=[row]))
    assert "Checked in RTL simulation" in shown and "1.00 %" in shown
    assert "Checked in RTL" not in front_page(document())


def test_whole_accelerators_stand_beside_the_formulas():
    rows = [
        design(70.0, predicted={"first_token": 1.0, "tokens_per_second": 50.0},
               errors={"first_token": -0.5, "tokens_per_second": 0.4}, rtl=None),
        design(70.0, predicted={"first_token": 1.0, "tokens_per_second": 50.0},
               errors={"first_token": -0.5, "tokens_per_second": 0.4},
               rtl={"counted": [1000], "predicted": [1001], "worst_error": 0.001}),
        design(30.0, reason="there is no accelerator", rtl=None),
    ]
    shown = front_page(document(whole=rows))
    assert "As whole accelerators" in shown
    for said in ("70.0 token/s, +40 %", "50.0 token/s", "500 ms, -50 %", "1.00 s", "not simulated",
                 "0.10 %", "there is no accelerator"):
        assert said in shown, said
    assert "As whole accelerators" not in front_page(document())


def test_a_front_without_designs_says_why():
    shown = front_page(document(front=[], best=None, answer="No design does."))
    assert "No design does." in shown and "<circle" not in shown
