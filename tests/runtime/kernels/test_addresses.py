"""No kernel goes through the address of memory that may have been freed: ``keep_alive``."""

import numpy as np
import pytest
from numba import njit

from support.addresses import faults
from support.package_sources import sources
from trilobite.runtime.kernels.keep_alive import keep_alive


def test_every_address_of_the_package_is_of_living_memory():
    found = {str(name): problems for name, text in sources() if (problems := faults(text))}
    assert not found
    taken = sum(text.count(".ctypes.data") for _, text in sources())
    assert taken > 50   # or the sources are not where they are looked for


GOOD = {
    "a parameter": "def f(x):\n    kernel(x.ctypes.data + 4)\n",
    "its parts": "def f(w):\n    q, t = w.q, w.t[1]\n    kernel(q[3].ctypes.data, t.ctypes.data)\n",
    "kept": (
        "def f(n):\n    x = aligned(n).view(int)\n    for i in range(n):\n"
        "        p = x[i].ctypes.data\n        kernel(p)\n    keep_alive(x)\n"
    ),
    "returned": "def f(n):\n    x = aligned(n)\n    kernel(x.ctypes.data)\n    return x[1:]\n",
    "kept, then another returned": (
        "def f(n):\n    x = aligned(n)\n    y = kernel(x.ctypes.data)\n    keep_alive(x)\n"
        "    return z\n"
    ),
}

BAD = {
    "a temporary": "def f(n):\n    p = aligned(n).ctypes.data\n    kernel(p)\n",
    "a local": "def f(n):\n    x = aligned(n)\n    kernel(x.ctypes.data)\n",
    "not kept on every way": (
        "def f(n):\n    x = aligned(n)\n    p = x.ctypes.data\n    if n:\n        kernel(p)\n"
        "        return\n    keep_alive(x)\n"
    ),
    "kept before its last use": (
        "def f(n):\n    x = aligned(n)\n    p = x.ctypes.data\n    keep_alive(x)\n    kernel(p)\n"
    ),
    "kept within a loop": (
        "def f(n):\n    x = aligned(n)\n    for i in range(n):\n        kernel(x.ctypes.data)\n"
        "        keep_alive(x)\n"
    ),
    "bound again": (
        "def f(n):\n    x = aligned(n)\n    p = x.ctypes.data\n    x = aligned(2)\n    kernel(p)\n"
        "    keep_alive(x)\n"
    ),
    "bound in a loop": (
        "def f(n):\n    for i in range(n):\n        x = aligned(n)\n        p = x.ctypes.data\n"
        "    kernel(p)\n    keep_alive(x)\n"
    ),
    "a parameter that is bound again": (
        "def f(x):\n    x = x.reshape(-1)\n    kernel(x.ctypes.data)\n"
    ),
    "made of a parameter": "def f(x):\n    y = x.copy()\n    kernel(y.ctypes.data)\n",
    "returned address": "def f(x):\n    return x.ctypes.data\n",
    "returned by name": (
        "def f(x):\n    p = x.ctypes.data\n    q = p + 1\n    return q\n"
    ),
    "another spelling": "def f(x):\n    c = x.ctypes\n    kernel(c.data)\n",
    "outside of a function": "p = x.ctypes.data\n",
    "in a lambda": "f = lambda n: kernel(aligned(n).ctypes.data)\n",
}


@pytest.mark.parametrize("source", GOOD.values(), ids=GOOD)
def test_what_lives_is_let_through(source):
    assert faults(source) == []


@pytest.mark.parametrize("source", BAD.values(), ids=BAD)
def test_what_may_be_gone_is_found(source):
    assert len(faults(source)) == 1


# What the rule rests on. Freed memory is what malloc gives to the next who asks for as much.


@njit
def _same(address, size):
    other = np.empty(size)
    return other.ctypes.data == address


@njit
def _forgotten(size, count):
    x = np.empty(size)
    address = x.ctypes.data
    reused = False
    for _ in range(count):
        reused |= _same(address, size)
    return reused


@njit
def _kept(size, count):
    x = np.empty(size)
    address = x.ctypes.data
    reused = False
    for _ in range(count):
        reused |= _same(address, size)
    keep_alive(x)
    return reused


@njit
def _kept_in_a_tuple(size, count):
    x = (np.empty(size), np.empty(size))
    address = x[0].ctypes.data
    reused = False
    for _ in range(count):
        reused |= _same(address, size)
    keep_alive(x)
    return reused


@njit
def _of_a_parameter(x, count):
    address = x.ctypes.data
    reused = False
    for _ in range(count):
        reused |= _same(address, x.size)
    return reused


@njit
def _by_a_callee(size, count):
    return _of_a_parameter(np.empty(size), count)


def test_numba_frees_an_array_after_the_last_use_of_its_name():
    assert _forgotten(10, 3)


@pytest.mark.parametrize("alive", [_kept, _kept_in_a_tuple, _by_a_callee])
def test_what_the_rule_allows_is_not_freed(alive):
    assert not alive(10, 3)
