"""Notice of a compilation: once, and not for what is compiled already."""

from numba import njit

from trilobite.runtime.compiling import when_compiling


def test_notice_is_given_once_and_only_while_compiling():
    notices = []

    @njit
    def twice(x):
        return 2 * x

    with when_compiling(lambda: notices.append("before")):
        assert twice(2) == 4
        assert twice(2.0) == 4.0
    assert notices == ["before"]
    with when_compiling(lambda: notices.append("again")):
        twice(3)
    twice(True)
    assert notices == ["before"]
