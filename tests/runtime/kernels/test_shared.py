"""Linears do not change when they are used, and threads that load get memory of their own."""

import threading

import numpy as np
import pytest

from support import parallel_calls
from support.format_table import FORMAT_TABLE
from support.package_sources import sources
from trilobite.runtime.kernels.panel import _Arena
from trilobite.runtime.linear import make_linear

ROWS, COLUMNS = 70, 128


def contents(value, path="linear"):
    """What is reachable from ``value``: places, and what is there."""
    if isinstance(value, np.ndarray):
        return {path: (id(value), value.tobytes())}
    if isinstance(value, tuple | list):
        items = enumerate(value)
    elif type(value).__module__.startswith("trilobite."):
        items = vars(value).items()
    else:
        return {path: repr(value)}
    found = {path: id(value)}
    for name, part in items:
        found |= contents(part, f"{path}.{name}")
    return found


@pytest.mark.parametrize("case", [*FORMAT_TABLE, None], ids=lambda case: str(case or "float32"))
def test_a_call_leaves_nothing_behind(case, kernel):
    random = np.random.default_rng(0)
    weight = random.standard_normal((ROWS, COLUMNS), np.float32)
    linear = make_linear(weight if case is None else case.format.quantize(weight), None)
    before = contents(linear)
    assert sum(isinstance(what, tuple) for what in before.values()) >= 1
    for tokens in (1, 3, 20):
        x = random.standard_normal((tokens, COLUMNS), np.float32)
        linear(x)
        if case is not None:
            linear.integer(linear.activations(x)[0])
        assert contents(linear) == before


def test_threads_that_load_do_not_get_the_same_memory():
    arena, taken = _Arena(1 << 12), []
    other = threading.Thread(target=lambda: taken.append(arena.take(192)))

    class Interrupted(np.ndarray):
        """What is left of a piece; while it is cut, another thread comes."""

        def __getitem__(self, key):
            if not other.ident:
                other.start()
                other.join(0.2)   # it has to wait, or it would be done by now
            return super().__getitem__(key)

    arena.take(192)
    arena._rest = arena._rest.view(Interrupted)
    taken.append(arena.take(192))
    other.join()
    assert len(taken) == 2
    assert not np.shares_memory(*taken)


def test_every_parallel_kernel_is_called_in_a_parallel_region():
    found = {str(name): problems for name, text in sources()
             if (problems := parallel_calls.faults(text))}
    assert not found
    assert sum("parallel=True" in text or "in_chunks(" in text for _, text in sources()) > 4


@pytest.mark.parametrize("call", [
    "f(x)", "if x:\n        f(x)", "with other():\n        f(x)", "g(x)", "h(x)",
    "in_chunks(s)(x)"])
def test_a_call_outside_of_a_region_is_found(call):
    source = ("@njit(parallel=True)\ndef f(x):\n    pass\n\n"
              "@njit(cache=True)\ndef g(x):\n    f(x)\n\nh = in_chunks(s)\n"
              "\ndef run(x):\n    with parallel_region():\n"
              "        f(x)\n        g(x)\n        h(x)\n        in_chunks(s)(x)\n")
    assert parallel_calls.faults(source) == []
    assert len(parallel_calls.faults(f"{source}    {call}\n")) == 1
