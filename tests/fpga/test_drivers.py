"""The drivers: what they give each unit, beside loops over tiles, heads and tokens in Python."""

import random
from dataclasses import replace

import numpy as np
import pytest
from amaranth.sim import Simulator

from support.tiny_accelerator import TINY
from trilobite.fpga.attend_driver import AttendDriver
from trilobite.fpga.descriptors import Descriptor, Operation, Post
from trilobite.fpga.matmul_driver import MatmulDriver
from trilobite.fpga.quantize_driver import QuantizeDriver
from trilobite.fpga.vocabulary_drivers import EmbedDriver, HeadDriver
from trilobite.hw.attention.attention_parameters import TILE

BLOCK_BEATS = TINY.tlmm.columns // TINY.lanes
READY_BEFORE = 3   # cycles that the sequencer shows a descriptor before it is to be done


def walk(kind, descriptor, tokens, position, outputs, seed, parameters=TINY):
    """What a driver gives on ``outputs``, each a list of its payloads' fields, and what it says
    that will be completed.
    """
    driver = kind(parameters)
    given, issued = {name: [] for name in outputs}, [0]

    async def testbench(ctx):
        rng = random.Random(seed)
        ctx.set(driver.i_descriptor.as_value(), int.from_bytes(descriptor.pack(), "little"))
        ctx.set(driver.i_state, {"tokens": tokens, "position": position})
        for _ in range(READY_BEFORE):
            await ctx.tick()
        ctx.set(driver.i_active, 1)
        quiet = 0
        for _ in range(20_000):
            quiet = quiet + 1 if ctx.get(driver.o_walked) else 0
            if quiet > 200:
                return
            for name in outputs:
                port = getattr(driver, name)
                ready = rng.random() < 0.4
                ctx.set(port.ready, ready)
                if ready and ctx.get(port.valid):
                    given[name].append(ctx.get(port.payload))
            issued[0] += ctx.get(driver.o_issued)
            await ctx.tick()
        raise AssertionError("it never ends")

    simulator = Simulator(driver)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    return given, issued[0]


def fields(payloads, *names):
    return [tuple(getattr(payload, name) for name in names) for payload in payloads]


@pytest.mark.parametrize("post", Post)
@pytest.mark.parametrize(("tiles", "tokens", "position"), [(1, 1, 40), (3, 4, 62), (2, 8, 0)])
def test_matmul_walks_through_tiles_and_tokens(post, tiles, tokens, position):
    d = Descriptor(Operation.MATMUL, post, b=1000, c=2000, d=3000, b_stride=7, d_stride=50,
                   passes=4, blocks=6, tiles=tiles, last_blocks=3, row_blocks=3, region=90,
                   tile_words=13, chunks=1, heads=2, group=1, x=1.5, y=2.5)
    given, issued = walk(
        MatmulDriver, d, tokens, position,
        ["o_job", "o_read", "o_scaling", "o_b", "o_heads", "o_row", "o_head"], seed=tiles)
    turned, cached = post in (Post.ROTATE, Post.KEYS), post in (Post.KEYS, Post.VALUES)
    expected = {name: [] for name in given}
    for tile in range(tiles):
        blocks, heads = (3, 1) if tile == tiles - 1 else (6, 2)
        out = d.d + tile * (6 * BLOCK_BEATS >> (post == Post.GATE)) // TINY.word_beats
        for token in range(tokens):
            at = position + token
            expected["o_job"].append((4, blocks))
            expected["o_read"].append(token)
            beats = blocks * BLOCK_BEATS >> (post == Post.GATE)
            if not cached:
                expected["o_row"].append((out + token * 50, beats))
            if turned:
                expected["o_heads"].append(heads)
                expected["o_b"].append((d.b + at * 7, 3 * BLOCK_BEATS))
            elif post == Post.ADD:
                beside = d.b + tile * 6 * BLOCK_BEATS // TINY.word_beats
                expected["o_b"].append((beside + token * 7, blocks * BLOCK_BEATS))
            if cached:
                first = d.c + 2 * tile * 90 + at // TILE * 13
                expected["o_head"] += [(first + head * 90, at % TILE, int(post == Post.VALUES))
                                       for head in range(heads)]
    assert fields(given["o_job"], "passes", "blocks") == expected["o_job"]
    assert given["o_read"] == expected["o_read"]
    assert given["o_heads"] == expected["o_heads"]
    assert fields(given["o_row"], "word", "beats") == expected["o_row"]
    assert fields(given["o_b"], "word", "beats") == expected["o_b"]
    assert fields(given["o_head"], "word", "token", "values") == expected["o_head"]
    odd = 2.5 if post == Post.GATE else 1.5
    assert {row_blocks for row_blocks, in fields(given["o_scaling"], "row_blocks")} == {3}
    assert len(given["o_scaling"]) == tiles * tokens
    assert {(float_of(even), float_of(other)) for even, other in fields(
        given["o_scaling"], "scale_even", "scale_odd")} == {(1.5, odd)}
    assert issued == len(expected["o_row"]) + 2 * len(expected["o_head"])


def float_of(view):
    """The number of a float32 layout's constant."""
    return float(np.uint32(view.as_bits()).view(np.float32))


@pytest.mark.parametrize(("tokens", "position", "heads", "group"), [
    (1, 9, 2, 1), (1, 30, 1, 2), (5, 3, 1, 2), (8, 0, 2, 1)])
def test_attend_walks_through_heads_and_tokens(tokens, position, heads, group):
    d = Descriptor(Operation.ATTEND, a=100, c=500, d=900, a_stride=16, d_stride=24, region=70,
                   chunks=1, heads=heads, group=group, head_words=4, x=0.25)
    given, issued = walk(AttendDriver, d, tokens, position, ["o_pass", "o_a", "o_row"], seed=heads)
    passes, sources, results = [], [], []
    for head in range(heads * group):
        for token in range(tokens):   # one query at once
            at = position + token
            passes.append((d.c + head // group * 70, at, at, 1, 1))
            sources.append((d.a + head * 4 + token * 16, 4 * TINY.word_beats))
            results.append((d.d + head * 4 + token * 24, 4 * TINY.word_beats))
    assert fields(given["o_pass"], "word", "position", "last_position", "queries",
                  "group") == passes
    assert fields(given["o_a"], "word", "beats") == sources
    assert fields(given["o_row"], "word", "beats") == results
    assert issued == len(results)


@pytest.mark.parametrize(("tokens", "group", "expected"), [
    (1, 6, [(9, 9, 4, 4), (9, 9, 2, 2)]),                          # a token's query heads
    (6, 1, [(9, 12, 4, 1), (13, 14, 2, 1)]),                       # a head's tokens
    (5, 2, [(9, 12, 4, 1), (13, 13, 1, 1)] * 2),
])
def test_attend_takes_as_many_queries_at_once_as_there_are(tokens, group, expected):
    d = Descriptor(Operation.ATTEND, a=100, c=500, d=900, a_stride=16, d_stride=24, region=70,
                   chunks=1, heads=1, group=group, head_words=4, x=0.25)
    given, issued = walk(AttendDriver, d, tokens, 9, ["o_pass", "o_a", "o_row"], seed=group,
                         parameters=replace(TINY, queries=4))
    assert fields(given["o_pass"], "position", "last_position", "queries", "group") == expected
    places = [(head * 4, token) for head in range(group) for token in range(tokens)]
    assert fields(given["o_a"], "word") == [(100 + at + 16 * token,) for at, token in places]
    assert fields(given["o_row"], "word") == [(900 + at + 24 * token,) for at, token in places]
    assert issued == tokens * group


@pytest.mark.parametrize(("norm", "last_row"), [(0, 0), (1, 0), (1, 1), (0, 1)])
def test_quantize_walks_through_rows(norm, last_row):
    d = Descriptor(Operation.QUANTIZE, norm=norm, last_row=last_row, a=100, b=800, a_stride=20,
                   beats=9, x=0.5, y=0.125)
    given, issued = walk(QuantizeDriver, d, 6, 11, ["o_a", "o_b", "o_norm"], seed=norm)
    rows = [(d.a + token * 20, 9) for token in range(5 if last_row else 0, 6)]
    assert fields(given["o_a"], "word", "beats") == rows
    assert fields(given["o_b"], "word", "beats") == [(800, 9)] * norm * len(rows)
    assert len(given["o_norm"]) == norm * len(rows)
    assert issued == len(rows)


def test_embed_gives_the_ids_and_where_rows_go():
    d = Descriptor(Operation.EMBED, a=40, c=600, d=900, d_stride=16, beats=8, region=35,
                   tile_words=8, four_bits=1)
    given, issued = walk(EmbedDriver, d, 5, 21, ["o_job", "o_row"], seed=1)
    assert fields(given["o_job"], "ids", "first", "tokens", "table", "group_words", "row_words",
                  "beats", "four_bits") == [(40, 21, 5, 600, 35, 8, 8, 1)]
    assert fields(given["o_row"], "word", "beats") == [(900 + 16 * n, 8) for n in range(5)]
    assert issued == 5


@pytest.mark.parametrize("position", [20, 21, 22, 23])
def test_head_reads_the_vocabulary_and_writes_the_token(position):
    """A word has four numbers; the token's comes behind those that the step was given."""
    d = Descriptor(Operation.HEAD, a=300, c=700, region=9, tile_words=2, rows=45)
    driver = HeadDriver(TINY)
    seen = {}

    async def testbench(ctx):
        ctx.set(driver.i_descriptor.as_value(), int.from_bytes(d.pack(), "little"))
        ctx.set(driver.i_state, {"tokens": 3, "position": position})
        for port in (driver.o_job, driver.o_request, driver.o_write, driver.o_word):
            ctx.set(port.ready, 1)
        ctx.set(driver.i_choice.valid, 1)
        ctx.set(driver.i_choice.p.row, 33)
        for _ in range(READY_BEFORE):
            await ctx.tick()
        ctx.set(driver.i_active, 1)
        for _ in range(20):
            for name in ("o_job", "o_request", "o_write", "o_word"):
                if ctx.get(getattr(driver, name).valid):
                    assert name not in seen
                    seen[name] = ctx.get(getattr(driver, name).payload)
            await ctx.tick()
        assert ctx.get(driver.o_walked)
        assert ctx.get(driver.o_token) == 33

    simulator = Simulator(driver)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    assert (seen["o_job"].rows, seen["o_job"].row_words) == (45, 2)
    assert (seen["o_request"].word, seen["o_request"].more) == (700, 12 * 9 - 1)
    place = position + 3
    assert (seen["o_write"].word, seen["o_write"].more) == (300 + place // 4, 0)
    assert seen["o_word"].strobe == 0xF << 4 * (place % 4)
    assert bytes(seen["o_word"].data[4 * (place % 4):][:4]) == (33).to_bytes(4, "little")
