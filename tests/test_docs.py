"""What the documents show is true: their Python runs, their links lead somewhere."""

import re
from pathlib import Path

import pytest

import trilobite

ROOT = Path(trilobite.__file__).parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def test_the_python_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "reference" / "python.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.S)
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block, "docs/reference/python.md", "exec"), {})
    assert "module" in capsys.readouterr().out   # the Verilog
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_the_devices_page_runs(capsys):
    page = (ROOT / "docs" / "reference" / "devices.md").read_text()
    block, = re.findall(r"```python\n(.*?)```", page, re.S)
    exec(compile(block, "docs/reference/devices.md", "exec"), {})
    seconds, utilization, rate, joules = map(float, capsys.readouterr().out.split())
    assert 0 < utilization <= 1
    assert min(seconds, rate, joules) > 0


def test_the_memory_page_shows_what_it_computes():
    page = (ROOT / "docs" / "explanation" / "memory.md").read_text()
    names: dict = {}
    shown = []
    for block in re.findall(r"```python\n(.*?)```", page, re.S):
        exec(compile(block, "docs/explanation/memory.md", "exec"), names)
        shown += [line.split(" #") for line in block.splitlines() if " #" in line]
    for expression, comment in shown:
        assert repr(eval(expression, names)) == comment.strip()
    assert len(shown) == 4


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(document):
    text = re.sub(r"```.*?```", "", document.read_text(), flags=re.S)
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
    assert [target for target in targets if not (document.parent / target).exists()] == []
