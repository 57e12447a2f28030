"""What Numba's threading layers cannot do: several threads at once, going on after a fork."""

import os
import subprocess
import sys
import textwrap

import pytest

from support.stress import environment, start_stress
from trilobite.runtime.kernels.choice import available_kernels

FORKED = """
    import os
    import numba
    import numpy as np
    from trilobite.errors import TrilobiteError
    from trilobite.quant.formats import Ternary
    from trilobite.runtime.linear import make_linear

    random = np.random.default_rng(0)
    packed = Ternary().quantize(random.standard_normal((1024, 1280), np.float32))
    linear = make_linear(packed, None)
    x = random.standard_normal((64, 1280), np.float32)
    y = linear(x)
    assert numba.threading_layer() == {layer!r}, numba.threading_layer()
    child = os.fork()
    if child:
        status = os.waitpid(child, 0)[1]
        print("status", status, np.array_equal(linear(x), y), flush=True)
        os._exit(0)
    try:
        print(np.array_equal(linear(x[:1]), y[:1]), flush=True)
        if {one}:
            numba.set_num_threads(1)
        print(np.array_equal(make_linear(packed, None)(x), y), flush=True)
    except TrilobiteError as error:
        print(error, flush=True)
    os._exit(0)
"""


def forked(layer, one=False):
    """Lines that a process and its child print, the child's first."""
    source = textwrap.dedent(FORKED).format(layer=layer, one=one)
    done = subprocess.run(
        [sys.executable, "-c", source], text=True, capture_output=True, check=False, timeout=600,
        env=environment() | {"NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": "2"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def has_gnu_openmp():
    try:
        from numba.np.ufunc import omppool
    except ImportError:
        return False
    return omppool.openmp_vendor == "GNU"


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
needs_gnu = pytest.mark.skipif(not has_gnu_openmp(), reason="needs GNU OpenMP")


@needs_fork
@needs_gnu
def test_a_fork_after_openmp_is_refused_in_a_sentence():
    one_token, refused, parent = forked("omp")
    assert one_token == "True"   # one thread is enough for it
    assert refused.startswith("This process was forked from one whose kernels had already run")
    assert "'spawn' or 'forkserver'" in refused
    assert parent == "status 0 True"


@needs_fork
@needs_gnu
def test_what_the_sentence_proposes_helps():
    assert forked("omp", one=True) == ["True", "True", "status 0 True"]


@needs_fork
def test_a_fork_after_the_work_queue_goes_on():
    assert forked("workqueue") == ["True", "True", "status 0 True"]


def test_threads_take_turns_in_the_work_queue():
    process = start_stress(
        available_kernels()[0], "--formats", "int8", "--rounds", "20", layer="workqueue"
    )
    printed, said = process.communicate(timeout=600)
    assert process.returncode == 0, said
    assert '"wrong": 0' in printed
