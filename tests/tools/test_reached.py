"""What a compiled function reaches, in whatever file, is part of its name."""

import functools
import importlib.util
import pkgutil
import subprocess
import sys
from collections import namedtuple
from dataclasses import dataclass
from importlib import import_module

import numpy as np
import pytest

import trilobite
from trilobite.tools.compiled import njit, numba
from trilobite.tools.reached import UnknownContentError, content_of

SOURCES = {
    "callee.py": """
from dataclasses import dataclass
import numpy as np
from trilobite.tools.compiled import intrinsic, njit
LIMIT = 7
TABLE = np.arange(4)
@dataclass(frozen=True)
class Form:
    lanes: int
    def text(self):
        return "add i64" + str(self.lanes)
FORM = Form(4)
def emit(builder, value):
    return builder.add(value, value)
@intrinsic
def doubled(context, value):
    def generate(context, builder, signature, arguments):
        FORM.text()
        return emit(builder, arguments[0])
    return value(value), generate
@njit
def deepest(x):
    return x + 1
@njit
def inner(x):
    return deepest(x) + TABLE[1]
""",
    "caller.py": """
from . import callee
from .callee import LIMIT, doubled, inner
from trilobite.tools.compiled import njit
STEP = 2 * LIMIT
@njit
def outer(x):
    return inner(x) + callee.deepest(x) + STEP + doubled(x)
""",
}


@pytest.fixture
def content(tmp_path):
    """``content(old=new, ...)``: of ``outer``, after edits of the two files."""
    count = iter(range(100))

    def get(*edits):
        folder = tmp_path / str(next(count)) / "edited"
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("")
        for name, source in SOURCES.items():
            edited = functools.reduce(lambda text, edit: text.replace(*edit), edits, source)
            (folder / name).write_text(edited)
        for name in [name for name in sys.modules if name.partition(".")[0] == "edited"]:
            del sys.modules[name]
        spec = importlib.util.spec_from_file_location("edited", folder / "__init__.py")
        sys.modules["edited"] = importlib.util.module_from_spec(spec)
        return content_of(import_module("edited.caller").outer)

    yield get
    for name in [name for name in sys.modules if name.partition(".")[0] == "edited"]:
        del sys.modules[name]


@pytest.mark.parametrize("edit", [
    ("return x + 1", "return x + 2"),                # two calls away, in another file
    ("TABLE[1]", "TABLE[2]"),
    ("np.arange(4)", "np.arange(5)"),                # an array of a callee
    ("np.arange(4)", "np.arange(4, dtype='i4')"),
    ("LIMIT = 7", "LIMIT = 8"),                      # the value behind a value
    ("builder.add", "builder.sub"),                  # what an intrinsic calls to make its code
    ("i64", "i32"),                                  # a method of an object that it uses
    ("Form(4)", "Form(8)"),
    ("@njit\ndef deepest", "@njit(fastmath=True)\ndef deepest"),
    ("callee.deepest(x)", "callee.inner(x)"),
])
def test_an_edit_of_what_is_reached_is_seen(content, edit):
    assert content(edit) != content()


@pytest.mark.parametrize("edit", [
    ("return x + 1", "# a comment, and another line\n    return x + 1"),
    ("LIMIT = 7", "LIMIT = 7\nUNUSED = 9"),
    ("STEP = 2 * LIMIT", "STEP = 14"),
])
def test_what_changes_nothing_is_not(content, edit):
    assert content(edit) == content()


def test_every_process_finds_the_same():
    code = ("from trilobite.runtime.kernels.ternary import vbmi\n"
            "from trilobite.sim.cycle_model.predict import _run\n"
            "from trilobite.tools.reached import content_of\n"
            "print(content_of(vbmi._integer), content_of(_run))")
    printed = {
        subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True,
                       check=True, env={"PYTHONHASHSEED": seed}).stdout
        for options, seed in ((["-B"], "1"), ([], "2"))}
    assert len(printed) == 1


def test_the_content_of_all_compiled_functions_of_the_package_is_known():
    dispatchers = {}
    outside = tuple(f"trilobite.{name}" for name in (
        "tests", "benchmarks", "docs", "examples", "build", "demo",
        "api.lm_eval"))   # it needs an extra that is not among the tests' own
    for module in pkgutil.walk_packages(trilobite.__path__, "trilobite."):
        if not module.name.startswith(outside) and not module.name.endswith("__main__"):
            for value in vars(import_module(module.name)).values():
                if isinstance(value, numba.core.dispatcher.Dispatcher):
                    dispatchers[id(value)] = value
    assert len(dispatchers) > 200
    assert len({content_of(value) for value in dispatchers.values()}) > 200
    assert {type(value._cache).__name__ for value in dispatchers.values()} == {"CompiledStore"}


@dataclass(frozen=True)
class Settings:
    lanes: int
    names: tuple


def returns(value, default=None):
    def inner(x=default):
        return value
    return inner


@pytest.mark.parametrize(("one", "other"), [
    (namedtuple("Places", "a b")(0, 1), namedtuple("Places", "b a")(0, 1)),
    (namedtuple("Places", "a b")(0, 1), namedtuple("Places", "a b")(1, 0)),
    (1, 2), (1, 1.0), (0.0, -0.0), (1, True), ("1", b"1"), ((1, 2), [1, 2]), ((1, 2), (12,)),
    ({1, 2}, {1, 3}), ({1: 2}, {1: 3}), (np.zeros(2), np.zeros(3)), (np.int8(1), np.int16(1)),
    (np.dtype("i4"), np.dtype("u4")), (numba.types.int32, numba.types.int64),
    (Settings(1, ("a",)), Settings(1, ("b",))), (len, max), (np.add, np.multiply),
    (functools.partial(max, 1), functools.partial(max, 2)), (returns(1), returns(2)),
    (returns(1, 2), returns(1, 3)), (njit(returns(1)), njit(nogil=True)(returns(1))),
])
def test_values_are_told_apart(one, other):
    assert content_of(returns(one)) == content_of(returns(one)) != content_of(returns(other))


@pytest.mark.parametrize("value", [object(), iter([]), np.array([object()]), sys.stdout])
def test_what_is_not_known_is_said(value):
    with pytest.raises(UnknownContentError, match="is not known"):
        content_of(returns(value))


def test_functions_that_name_each_other_end():
    assert content_of(even) != content_of(odd)


def even(n):
    return n == 0 or odd(n - 1)


def odd(n):
    return n != 0 and even(n - 1)
