"""A design is elaborated once, and again after any change of what it is made of."""

from dataclasses import fields, is_dataclass

import pytest

from support.probes import Register
from support.tiny_accelerator import TINY
from trilobite.sim.descriptions.ddr_timing import DdrTiming
from trilobite.sim.verify.bench import known_design as module
from trilobite.sim.verify.bench.design import VerilogModule
from trilobite.sim.verify.bench.known_design import known_design, sources_digest


@pytest.fixture
def made(tmp_path, monkeypatch):
    """``made(*arguments)`` gives the design of a register; ``made.count`` counts elaborations."""
    monkeypatch.setenv("TRILOBITE_CACHE", str(tmp_path))

    def make():
        get.count += 1
        return Register()

    def get(*arguments):
        return known_design("register", make, *arguments)

    get.count = 0
    return get


def test_it_is_elaborated_once(made):
    expected = VerilogModule.elaborate(Register(), "register")
    assert made(TINY, 1) == made(TINY, 1) == expected
    assert made.count == 1


def test_other_arguments_and_other_sources_are_another_design(made, monkeypatch):
    for arguments in ((TINY, 1), (TINY, 2), (TINY, 2, None)):
        made(*arguments)
    assert made.count == 3
    monkeypatch.setattr(module, "sources_digest", lambda package: "edited")
    made(TINY, 1)
    assert made.count == 4


def test_an_edit_anywhere_in_the_package_is_seen(tmp_path):
    for name in ("__init__.py", "model.py", "hw/__init__.py", "hw/rows/gates.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x = 1\n")
    (tmp_path / ".venv").mkdir()
    digests = [sources_digest(tmp_path)]
    for name, text in (("hw/rows/gates.py", "x = 2\n"), ("model.py", "x = 2\n"),
                       ("hw/rows/more.py", ""), (".venv/other.py", "no part of it")):
        (tmp_path / name).write_text(text)
        sources_digest.cache_clear()
        digests.append(sources_digest(tmp_path))
    assert len(set(digests)) == 4
    assert digests[-1] == digests[-2]


def test_the_repr_of_what_boards_are_made_of_says_all():
    """Else two of them would be taken for the same."""
    seen, left = set(), [TINY, DdrTiming()]
    while left:
        one = left.pop()
        seen.add(type(one))
        assert "__repr__" not in vars(type(one)) or type(one).__dataclass_params__.repr
        for field in fields(one):
            assert field.repr, f"{type(one).__name__}.{field.name}"
            value = getattr(one, field.name)
            left += [value] if is_dataclass(value) else []
            assert is_dataclass(value) or isinstance(value, (int, float, str, tuple, type(None)))
    assert len(seen) >= 3
