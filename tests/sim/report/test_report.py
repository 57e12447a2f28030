"""The report's page: well formed, self-contained, escaped, and of the same numbers as its JSON."""

import dataclasses
import errno
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import trilobite
from support.estimates import KV260, LARGE, TLMM, TWO_BILLION, changed, exact, small_shape
from trilobite.errors import OutputError
from trilobite.hw import cycles as formula
from trilobite.sim.descriptions.device import load_device
from trilobite.sim.formulas.estimate import estimate
from trilobite.sim.report import report_json, write_json, write_report
from trilobite.sim.report.page import page

HOSTILE = "<script>alert('x')</script> & \"co\""
PREFIXES = {"": 1.0, "m": 1e-3, "µ": 1e-6}


class Reader(HTMLParser):
    """Checks that tags are balanced, and collects tags, text, attributes and class contents."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], []
        self.by_class = {}

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "br"):
            self.open.append((tag, dict(attrs).get("class") or ""))
            for name in self.open[-1][1].split():
                self.by_class.setdefault(name, []).append("")

    def handle_endtag(self, tag):
        assert self.open and self.open[-1][0] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1][0] != "style":
            self.text.append(data)
        for _, classes in self.open:
            for name in classes.split():
                self.by_class[name][-1] += data


def read(html):
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert not reader.open
    return reader


@pytest.fixture(scope="module")
def estimates():
    demo = small_shape("a small model", hidden_size=256, intermediate_size=768, num_heads=4,
                       num_kv_heads=2, head_dim=64, vocab_size=1024, sub_norm=True,
                       max_position_embeddings=1024)
    cycles = {(256, 256): formula(TLMM.tlmm.parameters(), 256, 256)}
    return [estimate(shape, KV260, TLMM, cycles=cycles) for shape in (demo, LARGE, TWO_BILLION)]


@pytest.fixture(scope="module")
def html(estimates):
    return page(estimates, {"trilobite": "0", "verilator": "5.48"})


def test_the_page_is_well_formed(html):
    reader = read(html)
    assert html.startswith("<!DOCTYPE html>")
    for tag in ("html", "head", "style", "body", "header", "main", "footer"):
        assert reader.tags.count(tag) == 1
    assert reader.tags.count("article") == 3


def test_the_page_needs_nothing_else(html):
    reader = read(html)
    assert not {"script", "link", "img", "iframe", "object", "form"} & set(reader.tags)
    names = {name for name, _ in reader.attributes}
    assert not {"src", "href", "style", "onload", "onclick"} & names
    assert "http" not in html
    assert "url(" not in html
    assert "@import" not in html


def test_no_number_is_broken(html):
    text = " ".join(read(html).text)
    assert not re.search(r"\b(nan|inf|None)\b|e[+-]\d", text)


def test_the_cards_say_what_the_json_says(html, estimates):
    shown = []
    for text in read(html).by_class["big"]:
        number, prefix, unit = re.fullmatch(r"([\d.,]+) (m|µ)?(s|token/s|J)", text).groups()
        shown.append((float(number.replace(",", "")) * PREFIXES[prefix or ""], unit))
    document = report_json(estimates)
    expected = [
        (result[key]["nominal"], unit)
        for result in document["estimates"]
        for key, unit in (("first_token", "s"), ("rate", "token/s"), ("decode_energy", "J"))
    ]
    assert len(shown) == len(expected) == 9
    for (value, unit), (exact_value, exact_unit) in zip(shown, expected, strict=True):
        assert unit == exact_unit
        assert value == pytest.approx(exact_value, rel=6e-3)   # three significant digits


def test_every_operator_has_a_row_with_what_it_waits_for(html, estimates):
    reader = read(html)
    text = "\n".join(reader.text)
    for cost in estimates[0].decode.operators:
        assert cost.operator.name in text
    rows = sum(len(phase.operators) + 1   # and the host
               for result in estimates for phase in (result.prefill, result.decode))
    assert len(reader.by_class["waits"]) == rows
    known = re.compile("(compute|memory|start-up|host)(RTL|formula|cited|derived|assumed)")
    assert all(map(known.fullmatch, reader.by_class["waits"]))


def test_every_constant_is_shown_with_its_source(html):
    text = read(html).text
    for description in (KV260, TLMM):
        for group in dataclasses.asdict(description).values():
            if isinstance(group, dict):
                for quantity in group.values():
                    assert quantity["source"] in text
                    assert quantity["unit"] in text


def test_published_results_are_shown_as_quoted(html):
    reader = read(html)
    names = [name for name in ("TeLLMe v2", "PD-Swap", "bitnet-kv260") if f"{name} " in reader.text]
    assert len(names) == 3
    assert reader.by_class["quoted"] == ["quoted"] * 4   # in the legend, and one for each


def test_measured_cycles_are_marked_as_such(html):
    assert "formula, equal to RTL simulation on 1 of 1 shapes" in "".join(read(html).text)
    assert "RTL simulation" in read(html).by_class["cycles"][0]


def test_a_device_without_published_results_has_no_comparison(estimates):
    device = dataclasses.replace(KV260, published=())
    assert "others measured" not in page([estimate(LARGE, device, TLMM)], {})


def test_a_device_without_a_resource_that_is_not_needed_is_reported():
    """The ECP5 has no URAM; an accelerator without a weight buffer takes none."""
    hardware = changed(TLMM, storage={"weight_buffer": exact(0, "B")})
    result = estimate(small_shape(), load_device("ecp5-85f"), hardware, 8, 4)
    assert [(one.used, one.available) for one in result.hardware.budget(result.device)
            if one.resource == "URAM"] == [(0, 0)]
    assert re.search(r"URAM</th>(<td[^>]*>0</td>){2}<td[^>]*>–</td>", page([result], {}))


def test_names_are_escaped():
    shape = dataclasses.replace(small_shape(HOSTILE), source=HOSTILE)
    device = dataclasses.replace(KV260, name=HOSTILE)
    device = changed(device, power={"idle": dataclasses.replace(exact(3.5, "W"), source=HOSTILE)})
    reader = read(page([estimate(shape, device, TLMM, 4, 4)], {HOSTILE: "1"}))
    assert "script" not in reader.tags
    assert sum(HOSTILE in text for text in reader.text) >= 5
    assert any(HOSTILE in value for name, value in reader.attributes if name == "aria-label")


def test_files_hold_the_page_and_the_json(tmp_path, estimates):
    report, document = tmp_path / "report.html", tmp_path / "report.json"
    report.write_text("an older report")
    write_report(estimates, report, {"verilator": "5.48"})
    write_json(estimates, document, {"verilator": "5.48"})
    reader = read(report.read_text(encoding="utf-8"))
    assert f"trilobite {trilobite.__version__}" in reader.text
    assert "verilator 5.48" in reader.text
    written = json.loads(document.read_text(encoding="utf-8"))
    assert written == json.loads(json.dumps(report_json(estimates, {"verilator": "5.48"})))
    assert written["tools"]["verilator"] == "5.48"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json"]


def test_json_keys_are_documented(estimates):
    page = Path(__file__).parents[3] / "docs" / "reference" / "report.md"
    guide = page.read_text(encoding="utf-8")
    document = json.loads(json.dumps(report_json(estimates)))

    def keys(value):
        if isinstance(value, dict):
            for key, child in value.items():
                yield key
                if key not in ("device", "hardware", "config", "tools"):
                    yield from keys(child)
        elif isinstance(value, list):
            for child in value:
                yield from keys(child)

    for key in set(keys(document)):
        assert f"`{key}`" in guide, f"docs/reference/report.md does not document {key}"


def test_a_missing_folder_is_refused(tmp_path, estimates):
    with pytest.raises(OutputError, match="the folder .*nowhere does not exist"):
        write_report(estimates, tmp_path / "nowhere" / "report.html")


@pytest.mark.parametrize(
    ("failure", "raised"),
    [(OSError(errno.ENOSPC, "No space left on device"), OutputError),
     (KeyboardInterrupt(), KeyboardInterrupt)],
)
def test_a_failed_write_leaves_the_old_report_and_nothing_else(
    tmp_path, estimates, monkeypatch, failure, raised
):
    def fail(descriptor):
        raise failure

    report = tmp_path / "report.html"
    report.write_text("an older report")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(raised):
        write_report(estimates, report)
    assert report.read_text() == "an older report"
    assert list(tmp_path.iterdir()) == [report]


def test_a_folder_in_the_way_is_refused(tmp_path, estimates):
    (tmp_path / "report.html").mkdir()
    with pytest.raises(OutputError, match="report.html is a folder; name a file to write"):
        write_report(estimates, tmp_path / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
