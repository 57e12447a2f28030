"""Notice of a compilation: once, and not for what is compiled already."""

from numba import njit

from support.watch import Watch
from trilobite.runtime.compiling import when_compiling


def test_notice_is_given_once_and_only_while_compiling():
    watch = Watch()

    @njit
    def twice(x):
        return 2 * x

    with when_compiling(watch):
        assert twice(2) == 4
        assert twice(2.0) == 4.0
    assert watch.notes == ["Compiling kernels, once ..."]
    again = Watch()
    with when_compiling(again):
        twice(3)
    twice(True)
    assert len(watch.notes) == 1 and again.notes == []
