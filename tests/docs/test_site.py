"""The documentation as a site: it builds without a warning, and it needs no network."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.browser import measured, needs_browser

pytest.importorskip("sphinx", reason="pip install -e '.[docs]'")
import command_reference
import python_reference

DOCS = Path(__file__).parents[2] / "docs"
# What a browser fetches by itself when it shows a page.
FETCHED = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"([^\"]*)"
    r"|<link\b(?=[^>]*rel=\"[^\"]*(?:stylesheet|icon|preload|preconnect))[^>]*\bhref=\"([^\"]*)"
)
FETCHED_BY_STYLE = re.compile(r"url\(\s*[\"']?([^\"')]+)|@import\s+[\"']([^\"']+)")


def build(source, out):
    return subprocess.run(
        [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet",
         source, out],
        capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    done = build(DOCS, out)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    return out


def test_every_page_is_there(site):
    pages = [page.relative_to(DOCS).with_suffix(".html") for page in DOCS.rglob("*.md")]
    assert [page for page in pages if not (site / page).is_file()] == []


def test_mistakes_fail_the_build(tmp_path):
    for part in ("conf.py", "extensions"):
        copy = shutil.copytree if (DOCS / part).is_dir() else shutil.copy
        copy(DOCS / part, tmp_path / part)
    mistakes = ("[a page](nowhere.md)", "[a place](#nowhere)", "```{command} nonsense\n```",
                "```{functions}\n:nonsense:\n```")
    (tmp_path / "index.md").write_text("\n\n".join(["# Title", *mistakes]) + "\n")
    done = build(tmp_path, tmp_path / "out")
    assert done.returncode != 0
    warned = {int(line) for line in re.findall(r"index\.md:(\d+): (?:WARN|ERR)", done.stderr)}
    assert warned == {3, 5, 7, 10}


def test_nothing_is_fetched_from_elsewhere(site):
    def fetched(pattern, suffix):
        return {next(filter(None, found)) for page in site.rglob(f"*{suffix}")
                for found in pattern.findall(page.read_text(encoding="utf-8"))}

    scripts = fetched(FETCHED, ".html")
    assert any("searchindex" in script or "furo" in script for script in scripts)
    everything = scripts | fetched(FETCHED_BY_STYLE, ".css")
    assert [one for one in everything if re.match(r"(https?:)?//", one)] == []


def test_every_command_has_a_section_with_its_options():
    page = (DOCS / "reference" / "commands.md").read_text()
    for name in command_reference.commands():
        assert f"\n```{{command}} {name}\n" in page


def test_the_reference_has_what_the_package_offers(site):
    page = (site / "reference" / "python.html").read_text()
    shown = [f"trilobite.{name}" for name in python_reference.public()]
    shown += [f"{result.__module__}.{result.__qualname__}" for result in python_reference.results()]
    assert len(shown) > 10
    assert [name for name in shown if f'id="{name}"' not in page] == []


@needs_browser
@pytest.mark.parametrize("page", ["index", "reference/commands", "reference/python"])
def test_a_phone_shows_a_page_without_sideways_scrolling(site, page):
    script = "document.documentElement.scrollWidth + ' ' + innerWidth"
    wide, inner = map(int, measured(site / f"{page}.html", script, 360).split())
    assert wide <= inner
