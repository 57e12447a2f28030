"""docs/explanation/doors.md names every module that reads something, and no other one."""

import ast
import re
from pathlib import Path

import pytest
from fuzz.targets import TARGETS
from test_floors import sources

import trilobite

ROOT = Path(trilobite.__file__).parent
PAGE = (ROOT / "docs" / "explanation" / "doors.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (?!what \| who|---)(.*) \|$", PAGE, re.M)
# A call of one of these reads a file, unless its mode says that it writes a new one.
CALLS = {"read_bounded", "read_text_bounded", "open_regular", "open", "Serial",
         "Starlette"}   # a server's requests
METHODS = {"read_text", "read_bytes"}      # of a path
NAMES = {"environ", "environb", "getenv"}   # the environment
NETWORK = {"asyncio", "ftplib", "http", "httpx", "huggingface_hub", "requests", "smtplib", "socket",
           "socketserver", "ssl", "urllib.request", "urllib3", "xmlrpc"}


# What takes requests over HTTP.
SERVER = {"api/server/app.py", "api/server/serve.py"}


def reads(text):
    """Whether the code ``text`` reads a file or the environment."""
    imported_as = {alias.asname: alias.name for node in ast.walk(ast.parse(text))
                   if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            called = last_name(node.func)
            if imported_as.get(called, called) in CALLS and not writes(node):
                return True
            if isinstance(node.func, ast.Attribute) and called in METHODS:
                return True
        elif last_name(node) in NAMES:
            return True
    return False


def last_name(node):
    """``open`` of ``open``, and of ``path.open``."""
    return getattr(node, "id", getattr(node, "attr", None))


def writes(call):
    """Whether a call of ``open`` has a mode that takes nothing of an older file."""
    values = [one.value for one in call.args if isinstance(one, ast.Constant)]
    return any(isinstance(value, str) and re.fullmatch("[wxa][bt+]*", value) for value in values)


def imported(text):
    """Every module that the code ``text`` imports by its full name, and the packages above it."""
    for node in ast.walk(ast.parse(text)):
        found = []
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in found:
            yield from (name, name.partition(".")[0])


def code(path):
    return (ROOT / path).read_text(encoding="utf-8")


def test_every_reader_is_in_the_table():
    readers = {str(path) for path in sources(ROOT) if reads(code(path))} | SERVER
    assert len(readers) > 30
    told = {path for row in ROWS for path in re.findall(r"`([\w/]+\.py)`", row)
            if not path.startswith("tests/")}
    assert sorted(readers - told) == []
    assert sorted(told - readers) == []


@pytest.mark.parametrize("text", [
    "from .files import read_bounded as read\nread_bounded(path, 3)", "path.open('rb')", "open(a)",
    "serial.Serial(a)",
    "import os\nos.environ['A']", "os.getenv('A')", "path.read_text()",
])
def test_every_way_to_read_is_seen(text):
    assert reads(text)
    assert not reads("path.open('xb'); mmap = open_all()")


def test_every_row_has_a_bound_and_a_test_that_is_there():
    assert ROWS
    for row in ROWS:
        cells = row.split(" | ")
        assert len(cells) == 4, row
        tests = re.findall(r"`(tests/[\w/]+\.py)`", cells[3])
        targets = re.findall(r"fuzz `(\w+)`", cells[3])
        assert tests or targets, row
        assert all((ROOT / path).is_file() for path in tests), row
        assert set(targets) <= set(TARGETS), row


def test_every_fuzz_target_attacks_a_door():
    assert set(re.findall(r"fuzz `(\w+)`", PAGE)) == set(TARGETS)


def test_the_server_is_the_only_door_to_the_network():
    found = {str(path): NETWORK & set(imported(code(path))) for path in sources(ROOT)}
    assert {path for path, modules in found.items() if modules} == SERVER
    assert NETWORK & set(imported("import urllib.request")) == {"urllib.request"}
    assert NETWORK & set(imported("from urllib import request")) == {"urllib.request"}
