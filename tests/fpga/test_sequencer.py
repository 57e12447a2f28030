"""The sequencer: which descriptors and runs it refuses, and how long it takes over one."""

from dataclasses import replace

import pytest
from amaranth.sim import Simulator

from support.tiny_accelerator import TINY
from trilobite.fpga.descriptors import Descriptor, Operation, Post
from trilobite.fpga.runs import RunError
from trilobite.fpga.sequencer import OPERATIONS, Sequencer

PATIENCE = 40
NO_TOKEN = 0xFFFF_FFFF
RUN = {"program": 3, "tiles": 5, "tile_count": 7, "tokens": 4, "position": 10, "new_tokens": 1,
       "end_token": NO_TOKEN}
COLUMNS = TINY.tlmm.columns
GOOD = {
    Operation.EMBED: {"beats": TINY.max_beats},
    Operation.QUANTIZE: {"beats": TINY.max_beats, "passes": TINY.tlmm.max_passes},
    Operation.MATMUL: {
        "post": Post.KEYS, "passes": 1, "blocks": 3, "last_blocks": 3, "tiles": 1,
        "row_blocks": TINY.max_head_dim // COLUMNS - 1, "heads": TINY.max_heads,
        "group": TINY.max_heads, "chunks": TINY.attention.max_chunks},
    Operation.ATTEND: {"chunks": TINY.attention.max_chunks, "heads": TINY.max_heads, "group": 1,
                       "head_words": TINY.max_beats // TINY.word_beats},
    Operation.HEAD: {"rows": TINY.max_vocabulary, "tile_words": TINY.max_width // TINY.word_bytes},
}
BAD = [
    (Operation.EMBED, {"beats": 0}), (Operation.EMBED, {"beats": TINY.max_beats + 1}),
    (Operation.QUANTIZE, {"beats": TINY.max_beats + 1}),
    (Operation.QUANTIZE, {"passes": 0}), (Operation.QUANTIZE, {"passes": TINY.tlmm.max_passes + 1}),
    (Operation.MATMUL, {"passes": 0}), (Operation.MATMUL, {"blocks": TINY.tlmm.max_blocks + 1}),
    (Operation.MATMUL, {"last_blocks": 4}), (Operation.MATMUL, {"last_blocks": 0}),
    (Operation.MATMUL, {"tiles": 0}), (Operation.MATMUL, {"row_blocks": 0}),
    (Operation.MATMUL, {"row_blocks": 4}), (Operation.MATMUL, {"heads": TINY.max_heads + 1}),
    (Operation.MATMUL, {"group": 0}), (Operation.MATMUL, {"chunks": 0}),
    (Operation.MATMUL, {"row_blocks": TINY.max_head_dim // COLUMNS + 1, "blocks": 8,
                        "last_blocks": 8}),
    (Operation.MATMUL, {"post": Post.ADD, "blocks": TINY.max_width // COLUMNS + 1}),
    (Operation.ATTEND, {"chunks": TINY.attention.max_chunks + 1}), (Operation.ATTEND, {"group": 0}),
    (Operation.ATTEND, {"group": 2}), (Operation.ATTEND, {"head_words": 0}),
    (Operation.ATTEND, {"head_words": TINY.max_beats // TINY.word_beats + 1}),
    (Operation.HEAD, {"rows": TINY.max_vocabulary + 1}),
    (Operation.HEAD, {"tile_words": TINY.max_width // TINY.word_bytes + 1}),
    (Operation.HEAD, {"tile_words": TINY.max_width // TINY.word_bytes, "four_bits": 1}),
]


def simulate(testbench, parameters=TINY):
    sequencer = Sequencer(parameters)
    simulator = Simulator(sequencer)
    simulator.add_clock(1e-6)

    async def bench(ctx):
        ctx.set(sequencer.i_patience, PATIENCE)
        await testbench(ctx, sequencer)

    simulator.add_testbench(bench)
    simulator.run()


async def until(ctx, condition, most=20):
    for cycle in range(most):
        if condition():
            return cycle
        await ctx.tick()
    raise AssertionError(f"nothing in {most} cycles")


async def start(ctx, sequencer, **run):
    ctx.set(sequencer.i.p, RUN | run)
    ctx.set(sequencer.i.valid, 1)
    await until(ctx, lambda: ctx.get(sequencer.i.ready))
    await ctx.tick()
    ctx.set(sequencer.i.valid, 0)


async def give(ctx, sequencer, operation, **fields):
    """Give a descriptor; the cycles until it is done, refused, or asked for the next one."""
    packed = int.from_bytes(Descriptor(operation, **fields).pack(), "little")
    ctx.set(sequencer.i_descriptor.p.as_value(), packed)
    ctx.set(sequencer.i_descriptor.valid, 1)
    await until(ctx, lambda: ctx.get(sequencer.i_descriptor.ready))
    await ctx.tick()
    ctx.set(sequencer.i_descriptor.valid, 0)
    return await until(ctx, lambda: ctx.get(sequencer.o_error) or any(
        ctx.get(active) for active in sequencer.o_active), 8)


def outcome(operation, **fields):
    """The error of a descriptor, or ``NONE``: then its driver, and no other, is active."""
    seen = []

    async def testbench(ctx, sequencer):
        await start(ctx, sequencer)
        await give(ctx, sequencer, operation, **fields)
        seen.append(RunError(ctx.get(sequencer.o_error)))
        active = [ctx.get(one) for one in sequencer.o_active]
        assert active == [int(seen[0] == RunError.NONE and one == operation) for one in OPERATIONS]
        assert ctx.get(sequencer.o_failed.operation) == operation
        await ctx.tick()
        assert ctx.get(sequencer.o_busy) == (seen[0] == RunError.NONE)

    simulate(testbench)
    return seen[0]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_largest_descriptors_are_taken(operation):
    assert outcome(operation, **GOOD[operation]) == RunError.NONE


@pytest.mark.parametrize(("operation", "changed"), BAD)
def test_a_descriptor_beyond_a_limit_is_refused(operation, changed):
    assert outcome(operation, **GOOD[operation] | changed) == RunError.SIZE


@pytest.mark.parametrize(("passes", "error"), [(5, RunError.NONE), (6, RunError.SIZE)])
def test_more_passes_than_the_buffer_holds_for_all_tokens_are_refused(passes, error):
    async def testbench(ctx, sequencer):
        await start(ctx, sequencer, tokens=TINY.max_tokens)
        await give(ctx, sequencer, Operation.QUANTIZE, beats=1, passes=passes)
        assert ctx.get(sequencer.o_error) == error

    simulate(testbench, replace(TINY, activation_beats=5 * TINY.max_tokens))


@pytest.mark.parametrize(("operation", "post"), [(6, 0), (15, 0), (Operation.MATMUL, 5)])
def test_an_operation_that_does_not_exist_is_refused(operation, post):
    async def testbench(ctx, sequencer):
        await start(ctx, sequencer)
        ctx.set(sequencer.i_descriptor.p, {"operation": operation, "post": post})
        ctx.set(sequencer.i_descriptor.valid, 1)
        await until(ctx, lambda: ctx.get(sequencer.o_error))
        assert ctx.get(sequencer.o_error) == RunError.OPERATION

    simulate(testbench)


@pytest.mark.parametrize(("run", "error"), [
    ({"tokens": 0}, RunError.TOKENS), ({"tokens": TINY.max_tokens + 1}, RunError.TOKENS),
    ({"tokens": 8, "position": TINY.max_context - 7}, RunError.TOKENS),
    ({"tokens": 8, "position": TINY.max_context - 8}, RunError.NONE),
    ({"tokens": 8, "position": TINY.max_context - 11, "new_tokens": 5}, RunError.TOKENS),
    ({"tokens": 8, "position": TINY.max_context - 11, "new_tokens": 4}, RunError.NONE),
])
def test_a_run_that_does_not_fit_the_context_is_refused(run, error):
    async def testbench(ctx, sequencer):
        await start(ctx, sequencer, **run)
        await ctx.tick()
        assert ctx.get(sequencer.o_error) == error
        assert ctx.get(sequencer.o_busy) == (error == RunError.NONE)

    simulate(testbench)


def test_an_operation_ends_when_it_is_walked_through_and_all_is_completed():
    async def testbench(ctx, sequencer):
        await start(ctx, sequencer)
        assert await give(ctx, sequencer, Operation.EMBED, beats=1) == 3
        ctx.set(sequencer.i_issued, 2)
        await ctx.tick()
        ctx.set(sequencer.i_issued, 0)
        ctx.set(sequencer.i_walked[0], 1)   # in the very next cycle
        for completed in (0, 1, 0, 0, 1):
            ctx.set(sequencer.i_completed, completed)
            assert ctx.get(sequencer.o_active[0])
            await ctx.tick()
        ctx.set(sequencer.i_completed, 0)
        await ctx.tick()
        assert not ctx.get(sequencer.o_active[0])

    simulate(testbench)


def test_the_step_without_a_token_leaves_out_the_last_row_and_the_head():
    async def testbench(ctx, sequencer):
        await start(ctx, sequencer, new_tokens=0)
        for operation, fields in ((Operation.HEAD, {}), (Operation.QUANTIZE, {"last_row": 1})):
            with pytest.raises(AssertionError, match="nothing in"):
                await give(ctx, sequencer, operation, **GOOD[operation] | fields)
        ctx.set(sequencer.i_descriptor.p.as_value(), int.from_bytes(
            Descriptor(Operation.END).pack(), "little"))
        ctx.set(sequencer.i_descriptor.valid, 1)
        await until(ctx, lambda: not ctx.get(sequencer.o_busy))
        assert ctx.get(sequencer.o_error) == RunError.NONE

    simulate(testbench)


@pytest.mark.parametrize(("run", "token", "expected"), [
    ({}, 9, [(4, 10), (1, 14), (1, 15)]),
    ({"end_token": 9}, 8, [(4, 10), (1, 14), (1, 15)]),
    ({"end_token": 9}, 9, [(4, 10)]),   # the first token ends the run
    ({"new_tokens": 0}, 9, [(4, 10)]),
    ({"new_tokens": 1}, 9, [(4, 10)]),
])
def test_steps_follow_until_the_tokens_are_chosen(run, token, expected):
    steps = []

    async def testbench(ctx, sequencer):
        ctx.set(sequencer.i_token, token)
        ctx.set(sequencer.i_descriptor.p.as_value(), int.from_bytes(
            Descriptor(Operation.END).pack(), "little"))
        ctx.set(sequencer.i_descriptor.valid, 1)
        await start(ctx, sequencer, **{"new_tokens": 3} | run)
        while ctx.get(sequencer.o_busy):
            if ctx.get(sequencer.o_begin):
                assert ctx.get(sequencer.o_program) == RUN["program"]
                steps.append((ctx.get(sequencer.o_state.tokens),
                              ctx.get(sequencer.o_state.position)))
            await ctx.tick()

    simulate(testbench)
    assert steps == expected


def test_a_run_in_which_nothing_moves_is_stuck():
    async def testbench(ctx, sequencer):
        await start(ctx, sequencer)
        await until(ctx, lambda: ctx.get(sequencer.o_error), PATIENCE + 4)
        assert ctx.get(sequencer.o_error) == RunError.STUCK

    simulate(testbench)
