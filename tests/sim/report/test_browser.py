"""The pages in headless Chromium: no error, both colour schemes, a phone, paper."""

import re

import pytest

from support.browser import measured, needs_browser, pdf, screenshot
from support.estimates import KV260, LARGE, TLMM
from trilobite.sim.descriptions.accelerator import load_accelerator
from trilobite.sim.explore import (
    Limits,
    answer,
    load_perplexities,
    load_synthesized,
    make_spaces,
    search,
)
from trilobite.sim.formulas.estimate import estimate
from trilobite.sim.predictions.accelerator_estimate import estimate_accelerator
from trilobite.sim.report import compare_runs, report_json, write_front, write_report

pytestmark = needs_browser


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    before, now = (estimate(LARGE, KV260, TLMM, prompt, 16) for prompt in (32, 64))
    write_report([now], path, {}, compare_runs(report_json([before]), [now]))
    return path


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    path = tmp_path_factory.mktemp("front") / "front.html"
    synthesized, measured_ = load_synthesized(), load_perplexities()["demo-llama"]
    spaces = make_spaces([KV260], TLMM, synthesized.around, 32, 24, 5_000)
    result = search(spaces, LARGE, TLMM, synthesized, measured_, 32, 4, Limits())
    said = answer(result, Limits(), "rate", "BitNet", ["KV260"], measured_)
    write_front({
        "model": "BitNet", "devices": ["KV260"], "hardware": "TLMM", **result.counts,
        "perplexity_model": measured_.model, "perplexity_tokens": measured_.tokens,
        "fit_errors": {}, "answer": said, "best": result.best("rate").to_json(),
        "front": [one.to_json() for one in result.front], "published": [], "checked": [],
        "whole": [],
    }, path)
    return path


@pytest.fixture(scope="module")
def predicted(tmp_path_factory):
    path = tmp_path_factory.mktemp("predicted") / "report.html"
    write_report([estimate_accelerator(LARGE, KV260, load_accelerator("kv260"), 8, 4)], path)
    return path


@pytest.fixture(params=["report", "predicted", "front"])
def page(request):
    return request.getfixturevalue(request.param)


def test_light_and_dark_show_the_same_page_in_their_colours(page, tmp_path):
    light, dark = (screenshot(page, tmp_path / f"{scheme}.png", 400, 300, scheme)
                   for scheme in ("light", "dark"))
    assert min(light[0][0]) > 240 and max(dark[0][0]) < 40   # paper
    for rows, is_ink in ((light, lambda dot: max(dot) < 90), (dark, lambda dot: min(dot) > 170)):
        inked = sum(is_ink(dot) for row in rows for dot in row)
        assert inked > 200, "there is no text on the first screen"


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_screen(page, width):
    seen = measured(page, "document.documentElement.scrollWidth + ' ' + innerWidth", width)
    wide, inner = map(int, seen.split())
    assert wide <= inner


def test_every_chart_has_a_size_and_every_bar_a_tooltip(page):
    script = ("[document.querySelectorAll('svg').length,"
              "[...document.querySelectorAll('svg')].filter("
              "one => one.getBoundingClientRect().height < 5).length,"
              "document.querySelectorAll('svg circle title, svg rect title').length].join(' ')")
    charts, flat, tooltips = map(int, measured(page, script, 1280).split())
    assert charts >= 2 and flat == 0 and tooltips > 20


def test_it_prints(page, tmp_path):
    printed = pdf(page, tmp_path / "page.pdf")
    assert printed.startswith(b"%PDF")
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 20
