"""What a port's errors are, cycle by cycle."""

import pytest
from amaranth.sim import Simulator

from trilobite.hw.memory.port_errors import PortErrors
from trilobite.hw.memory.responses import PortError, Response


def errors_of(cycles, timeout=4, limit=None):
    """The error in each cycle, for inputs by cycle; ``limit`` is the register's value."""
    errors = PortErrors(timeout)
    seen = []

    async def bench(ctx):
        if limit is not None:
            ctx.set(errors.i_timeout, limit)
            await ctx.tick()   # nobody waits: it is taken over
        for inputs in cycles:
            for name in ("response", "broken", "waiting", "clear"):
                ctx.set(getattr(errors, name), inputs.get(name, 0))
            await ctx.tick()
            seen.append(PortError(ctx.get(errors.error)))

    simulator = Simulator(errors)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return seen


WAITING, CLEAR, NOTHING = {"waiting": 1}, {"clear": 1}, {}
NONE, TIMEOUT = PortError.NONE, PortError.TIMEOUT


@pytest.mark.parametrize("options", [{"timeout": 4}, {"timeout": None, "limit": 4}])
def test_a_wait_of_so_many_cycles_is_an_error_in_the_last_of_them(options):
    assert errors_of([WAITING] * 6, **options) == [NONE] * 3 + [TIMEOUT] * 3
    assert errors_of([*[WAITING] * 3, NOTHING] * 3, **options) == [NONE] * 12


def test_a_wait_is_one_error_however_long_it_is():
    assert errors_of([*[WAITING] * 4, CLEAR | WAITING, *[WAITING] * 12]) == (
        [NONE] * 3 + [TIMEOUT] + [NONE] * 13)
    assert errors_of([*[WAITING] * 4, CLEAR, *[WAITING] * 4])[-2:] == [NONE, TIMEOUT]


def test_without_a_limit_a_wait_is_none():
    assert set(errors_of([WAITING] * 40, None, 0)) == {NONE}


@pytest.mark.parametrize(("inputs", "error"), [
    ({"response": Response.SLVERR}, PortError.SLAVE),
    ({"response": Response.DECERR}, PortError.DECODE),
    ({"response": Response.EXOKAY}, PortError.PROTOCOL),
    ({"broken": 1}, PortError.PROTOCOL),
])
def test_the_first_error_stays_until_it_is_cleared(inputs, error):
    others = [{"response": response} for response in Response] + [{"broken": 1}]
    assert errors_of([NOTHING, inputs, *others, CLEAR, NOTHING]) == (
        [NONE] + [error] * (1 + len(others)) + [NONE] * 2)
