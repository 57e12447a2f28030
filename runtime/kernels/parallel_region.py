"""Where kernels run in several threads: nothing is asked of Numba's threads that ends a process.

Numba lets go of the GIL while a parallel loop runs, so two Python threads can come to one at once.
TBB and OpenMP serve both; Numba's own ``workqueue``, which it takes where neither is installed,
ends the process. GNU OpenMP ends a process that was forked from one in which it had already run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from threading import Lock

from ...errors import TrilobiteError
from ...tools.compiled import numba

__all__ = ["parallel_region"]

_THREADSAFE = {"omp", "tbb"}


class _State:
    """What a process knows: whose turn it is, and the layer that had run before it was forked."""

    turn = Lock()
    parent_layer: str | None = None


def _layer() -> str | None:
    """The threading layer; None as long as nothing has run in parallel."""
    try:
        return numba.threading_layer()   # type: ignore[attr-defined]   # not in its __all__
    except ValueError:
        return None


def _after_fork() -> None:
    _State.turn = Lock()   # the parent's may be held by a thread that is not here
    _State.parent_layer = _State.parent_layer or _layer()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def parallel_region() -> Iterator[None]:
    """Surround every call of a kernel that is compiled with ``parallel=True`` by this.

    Calls of several Python threads run at the same time where the threading layer can do that,
    else one after the other.

    Raises
    ------
    TrilobiteError
        This process was forked after kernels had run in several threads of GNU OpenMP.
    """
    if _State.parent_layer == "omp":
        _refuse_gnu_openmp()
    if _layer() in _THREADSAFE:
        yield
    else:
        with _State.turn:
            yield


def _refuse_gnu_openmp() -> None:
    if import_module("numba.np.ufunc.omppool").openmp_vendor == "GNU":
        raise TrilobiteError(
            "This process was forked from one whose kernels had already run in several threads, "
            "and GNU OpenMP cannot start threads in it: start processes by multiprocessing's "
            "'spawn' or 'forkserver', fork before the first use of a model, or call "
            "numba.set_num_threads(1) in the forked process"
        )
