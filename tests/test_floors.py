"""No room imports from a floor above its own, and no rooms import each other in a circle."""

import ast
import re
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import trilobite

ROOT = Path(trilobite.__file__).parent
OUTSIDE = {"benchmarks", "build", "demo", "docs", "examples", "tests"}   # not of the package


def read_floors(text):
    """Room and floor of each place (folder or file) in CONTRIBUTING's table; a row is a room."""
    floors = {}
    for floor, places in re.findall(r"^\| ([\d.]+) \| (`[^|]+`) \|", text, re.M):
        for place in re.findall(r"`([^`]+)`", places):
            assert place not in floors, f"{place} stands twice in the table"
            floors[place] = (places, float(floor))
    return floors


def sources(root):
    return [path.relative_to(root) for path in sorted(root.rglob("*.py"))
            if not path.relative_to(root).parts[0].startswith(".")
            and path.relative_to(root).parts[0] not in OUTSIDE]


def room_of(path, floors):
    """Room and floor of the innermost place that ``path`` lies in; None if there is none."""
    places = (str(path), *(f"{parent}/" for parent in path.parents))
    return next((floors[place] for place in places if place in floors), None)


def module(path):
    """Names from the root down to the module in ``path``, as a tuple."""
    parts = path.with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def imports(root, path, modules):
    """Files of the package that the file ``path`` imports, wherever in it."""
    package = path.parent.parts
    for node in ast.walk(ast.parse((root / path).read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = (*package[:len(package) - node.level + 1],
                    *(node.module.split(".") if node.module else ()))
            for name in node.names:
                yield modules.get((*base, name.name)) or modules[base]


def problems(root, floors):
    """Sentences about files without a room, upward imports and circles of rooms."""
    modules = {module(path): path for path in sources(root)}
    found, arrows = [], defaultdict(set)
    for path in modules.values():
        room = room_of(path, floors)
        if room is None:
            found.append(f"{path} lies in no room of the table")
            continue
        for target in imports(root, path, modules):
            other = room_of(target, floors)
            if other is None or other == room:
                continue
            arrows[room].add(other)
            if other[1] > room[1]:
                found.append(f"{path} on floor {room[1]:g} imports {target} on floor {other[1]:g}")
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        circle = " <- ".join(room for room, _ in error.args[1])
        found.append(f"Rooms import each other in a circle: {circle}")
    return found


def test_every_import_leads_down_and_there_is_no_circle():
    floors = read_floors((ROOT / "CONTRIBUTING.md").read_text())
    assert problems(ROOT, floors) == []


def test_the_table_names_what_is_there():
    floors = read_floors((ROOT / "CONTRIBUTING.md").read_text())
    assert len(floors) > 20
    assert [place for place in floors if not (ROOT / place).exists()] == []


@pytest.mark.parametrize(("files", "problem"), [
    ({"low/a.py": "from ..high import b\n", "high/b.py": ""}, "imports"),
    ({"high/b.py": "def f():\n    from ..low.a import X\n", "low/a.py": "X = 1\n"}, None),
    ({"one/a.py": "from ..two import b\n", "two/b.py": "from ..one.a import A\n"}, "circle"),
    ({"elsewhere/a.py": ""}, "no room"),
])
def test_what_the_check_finds(tmp_path, files, problem):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    floors = read_floors("".join(
        f"| {floor} | `{place}/` | |\n"
        for floor, place in ((2, "high"), (1, "low"), (1, "one"), (1, "two"))))
    found = problems(tmp_path, floors)
    assert len(found) == (problem is not None)
    assert problem is None or problem in found[0]
