"""Serving traces: against the estimate, by hand with costs one can add up, and by properties."""

import dataclasses
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.estimates import LARGE, TLMM, changed, exact, machine, small_config
from trilobite.api.serving import serve_sim
from trilobite.errors import EstimateError
from trilobite.sim.formulas.energy import step_energy, work_energy
from trilobite.sim.formulas.workload import DramTraffic, step
from trilobite.sim.serving import BatchCosts, Request, generate_requests, serve
from trilobite.sim.serving.batch import Batch, Piece, RequestProgress
from trilobite.sim.serving.policies import POLICIES, Chunked, FlowPrefill, Layered, WholePrompt
from trilobite.tools.progress import Silent

CONFIG = small_config(max_position_embeddings=64)
MACHINE = machine()
ALL = [WholePrompt(), Chunked(chunk=5), Layered(groups=2), FlowPrefill()]


class ByHand:
    """A second for a token through a layer, four joules; each layer is two operators."""

    config, device_name, capacity = CONFIG, "nothing", 1 << 30

    def needed_bytes(self, positions):
        return positions

    def sequence(self, batch):
        return [
            (piece.tokens / 2, piece.tokens * 2.0)
            for piece in batch.pieces for _ in range(2 * (piece.last - piece.first))
        ]

    def cost(self, pieces):
        seconds, joules = zip(*self.sequence(Batch(tuple(pieces))), strict=True)
        return sum(seconds), sum(joules)

    def decode(self, pasts):
        return len(pasts) * CONFIG.num_layers, 4.0 * len(pasts) * CONFIG.num_layers

    def idle(self, seconds):
        return seconds


class Observed:
    """The trace that is served, and for each of its requests when its tokens came."""

    def __init__(self, costs, requests, policy, slots=8):
        self.tokens = {id(one): (one, []) for one in requests}
        self.result = serve(costs, requests, policy, slots,
                            observe=lambda request, now: self.tokens[id(request)][1].append(now))


def tokens(policy, *requests, slots=8):
    """Times of tokens by (arrival, prompt) of the request."""
    observed = Observed(ByHand(), [Request(*one) for one in requests], policy, slots)
    return {(one.arrival, one.prompt): tuple(times) for one, times in observed.tokens.values()}


# Two layers: a token takes 2 s. A: prompt 4 (8 s), 3 tokens. B comes at 9: prompt 2 (4 s), 1 token.
A, B = (0.0, 4, 3), (9.0, 2, 1)


def test_whole_by_hand():
    # A's prompt to 8, its second token to 10; B has come, to 14; A's last token to 16.
    assert tokens(WholePrompt(), A, B) == {(0.0, 4): (8, 10, 16), (9.0, 2): (14,)}


def test_progress_counts_the_requests_of_every_policy():
    told = []

    class Told(Silent):
        def start(self, total, what=""):
            told.append(total)

        def advance(self, amount=1):
            told.append(amount)

    serve(ByHand(), [Request(*A), Request(*B)], WholePrompt(), 8, Told())
    assert told == [2, 1, 1]
    del told[:]
    serve_sim("bitnet-0.73b", [Request(*A), Request(*B)], ["whole", "flow"], progress=Told())
    assert told == [4, 1, 1, 1, 1]


def test_chunked_by_hand():
    # Chunks of 3: A's prompt to 6 and 8, a token to 10; then A's last and both of B's: 2 + 4 s.
    assert tokens(Chunked(3), A, B) == {(0.0, 4): (8, 10, 16), (9.0, 2): (16,)}
    # Chunks of 2: one token of B goes with A's last, to 14, and the other alone.
    assert tokens(Chunked(2), A, B) == {(0.0, 4): (8, 10, 14), (9.0, 2): (16,)}


def test_layered_by_hand():
    # From 10, B passes a layer (2 s) with A's last token (2 s), then the other layer alone.
    assert tokens(Layered(2), A, B) == {(0.0, 4): (8, 10, 14), (9.0, 2): (16,)}


def test_flow_by_hand():
    # C: prompt 6, 12 s in four operators of 3 s, due at 48. D (1 token) comes at 4, due at 12:
    # C stops at 6, D goes to 8, C's other two operators go to 14.
    C, D = (0.0, 6, 1), (4.0, 1, 1)
    assert tokens(FlowPrefill(), C, D) == {(0.0, 6): (14,), (4.0, 1): (8,)}
    assert tokens(WholePrompt(), C, D) == {(0.0, 6): (12,), (4.0, 1): (14,)}
    # With one slot D is not let in, and nothing is interrupted.
    assert tokens(FlowPrefill(), C, D, slots=1) == {(0.0, 6): (12,), (4.0, 1): (14,)}


def test_figures_by_hand():
    result = serve(ByHand(), [Request(1.0, 4, 3), Request(10.0, 2, 1)], WholePrompt())
    value = result.as_json()
    assert (value["seconds"], value["busy"]) == (17, 16)
    assert value["first_token"] == pytest.approx(
        {"mean": 6.5, "p50": 6.5, "p95": 7.85, "p99": 7.97}   # 8 and 5 s
    )
    assert value["per_token"]["p50"] == 4.0                   # 9, 11, 17
    assert value["longest_pause"] == 6.0
    assert value["joules"] == 1 + 16 * 4                      # a second idle; 8 tokens, two layers
    assert value["joules_per_token"] == 65 / 4


def test_one_request_takes_what_the_estimate_says():
    config, costs = LARGE.config, BatchCosts(MACHINE, LARGE.config)
    layout = MACHINE.hardware.layout
    steps = [step(config, layout(config, 40), 40)]
    steps += [step(config, layout(config, 1), 1, 40 + index) for index in range(3)]
    for policy in (WholePrompt(), Chunked(40), Layered(1), FlowPrefill()):
        result = serve(costs, [Request(0.0, 40, 4)], policy)
        assert result.first_token[0] == pytest.approx(MACHINE.step_time(steps[0]))
        assert result.seconds == pytest.approx(sum(map(MACHINE.step_time, steps)))
        assert result.joules == pytest.approx(
            sum(step_energy(MACHINE, one).total for one in steps)
        )


def test_decodes_share_the_weights():
    costs = BatchCosts(MACHINE, LARGE.config)
    pieces = [
        Piece(RequestProgress(Request(0.0, 8, 9), 0.0), 1, 8, 0, LARGE.config.num_layers, True)
        for _ in range(4)
    ]
    one, four = costs.cost(pieces[:1])[0], costs.cost(pieces)[0]
    assert one < four < 4 * one


requests_of_any_kind = st.lists(
    st.builds(
        Request, st.floats(0, 0.01), st.integers(1, 30), st.integers(1, 12)
    ), min_size=1, max_size=6,
)


@settings(deadline=None, max_examples=40)
@given(requests_of_any_kind, st.sampled_from(ALL), st.integers(1, 4))
def test_every_token_comes_once_and_in_order(requests, policy, slots):
    observed = Observed(BatchCosts(MACHINE, CONFIG), requests, policy, slots)
    result, every = observed.result, list(observed.tokens.values())
    for request, times in every:
        assert len(times) == request.output
        assert times[0] > request.arrival
        assert times == sorted(times)
    several = [times for _, times in every if len(times) > 1]
    assert sorted(result.first_token) == sorted(times[0] - one.arrival for one, times in every)
    assert sorted(result.per_token) == sorted(
        (times[-1] - times[0]) / (len(times) - 1) for times in several)
    assert result.longest_pause == max(
        (after - before for times in several for before, after in pairwise(times)), default=0.0)
    assert result.output_tokens == sum(one.output for one in requests)
    assert 0 < result.busy <= result.seconds * (1 + 1e-9)
    assert result.joules > 0


@settings(deadline=None, max_examples=40)
@given(requests_of_any_kind, st.sampled_from(ALL), st.integers(1, 4))
def test_work_is_conserved(requests, policy, slots):
    # Where nothing is shared, order changes nothing of the work: a second per token and layer.
    result = serve(ByHand(), requests, policy, slots)
    work = sum(one.prompt + one.output - 1 for one in requests) * CONFIG.num_layers
    assert result.busy == pytest.approx(work)
    assert result.joules == pytest.approx(4 * work + result.seconds - result.busy)


def test_what_cannot_be_served_is_refused():
    costs = BatchCosts(MACHINE, CONFIG)
    with pytest.raises(EstimateError, match="65 tokens, prompt and output; the model holds 64"):
        serve(costs, [Request(0.0, 60, 5)], WholePrompt())
    with pytest.raises(EstimateError, match="at least 1 request"):
        serve(costs, [], WholePrompt())
    large = BatchCosts(MACHINE, dataclasses.replace(
        LARGE.config, max_position_embeddings=1 << 20
    ))
    with pytest.raises(EstimateError, match="use fewer slots"):
        serve(large, generate_requests(8, 1.0, 100_000, 2), WholePrompt())
    for wrong in (lambda: Chunked(0), lambda: Layered(0), lambda: FlowPrefill(float("nan"))):
        with pytest.raises(EstimateError):
            wrong()
    assert set(POLICIES) == {"whole", "chunked", "layered", "flow"}


# Bytes of keys that are rounded for each sequence, and activations that do not stay on the chip.
ODD = changed(TLMM, storage={"kv_width": exact(3), "activation_buffer": exact(4000)})


class Plainly:
    """What batches cost, each worked out from the operators of its pieces."""

    def __init__(self, config, machine):
        self.config, self.machine = config, machine

    def sequence(self, batch):
        pieces, config = batch.pieces, self.config
        layout = self.machine.hardware.layout(config, sum(piece.tokens for piece in pieces))
        steps = [step(config, layout, piece.tokens, piece.past) for piece in pieces]
        costs = self.merged([one.before for one, p in zip(steps, pieces, strict=True)
                             if p.first == 0])
        for layer in range(config.num_layers):
            costs += self.merged([one.layer for one, p in zip(steps, pieces, strict=True)
                                  if p.first <= layer < p.last], config.num_layers)
        costs += self.merged([one.after for one, p in zip(steps, pieces, strict=True) if p.yields])
        host = self.machine.host_time * sum(piece.yields for piece in pieces)
        return (*costs, (host, work_energy(self.machine, host, 0, 0).total))

    def merged(self, steps, layers=1):
        return [self.operator(same, layers) for same in zip(*steps, strict=True)]

    def operator(self, same, layers):
        traffic = DramTraffic(**{
            field.name: sum(getattr(one.traffic, field.name) for one in same)
            for field in dataclasses.fields(DramTraffic)})
        if same[0].name != "embedding":
            traffic = dataclasses.replace(
                traffic, weights=max(one.traffic.weights for one in same))
        sums = {name: sum(getattr(one, name) for one in same)
                for name in ("tokens", "macs", "operations", "elements")}
        one = dataclasses.replace(same[0], traffic=traffic, **sums)
        share = one.count / layers
        seconds = share * self.machine.time(one).total
        macs = {"tlmm": 0.0, "integer": 0.0, "vector": 0.0} | {one.unit: share * one.macs}
        return seconds, work_energy(
            self.machine, seconds, share * self.machine.bytes(one), macs["tlmm"], macs["integer"],
            share * one.operations).total


@settings(deadline=None, max_examples=60)
@given(st.data(), st.booleans(), st.booleans())
def test_costs_are_those_of_the_operators_bit_for_bit(data, windowed, odd):
    config = small_config(
        max_position_embeddings=4096, **({"sliding_windows": (40, 64)} if windowed else {}))
    board = machine(hardware=ODD) if odd else MACHINE
    size = st.tuples(st.sampled_from((1, 1, 1, 7, 300)), st.integers(0, 100))
    layers = st.sampled_from(((0, 2), (0, 2), (0, 1), (1, 2)))
    pieces = tuple(
        Piece(RequestProgress(Request(0.0, 8, 9), 0.0), *numbers, *place, place[1] == 2)
        for numbers, place in data.draw(st.lists(st.tuples(size, layers), min_size=1, max_size=4))
    )
    costs, batch = BatchCosts(board, config), Batch(pieces)
    plain = Plainly(config, board).sequence(batch)
    for _ in range(2):   # worked out, and remembered
        assert tuple(costs.sequence(batch)) == plain
        assert costs.cost(pieces) == tuple(map(sum, zip(*plain, strict=True)))
    pasts = [piece.past for piece in pieces]
    steps = tuple(dataclasses.replace(piece, tokens=1, first=0, last=2, yields=True)
                  for piece in pieces)
    assert costs.decode(pasts) == costs.cost(steps)
    assert costs.decode(pasts) == tuple(
        map(sum, zip(*Plainly(config, board).sequence(Batch(steps)), strict=True)))


def peak_of(count):
    """Bytes that serving ``count`` requests of 40 tokens takes at most, its arguments apart."""
    costs = BatchCosts(MACHINE, CONFIG)
    requests = [Request(0.001 * index, 4, 40) for index in range(count)]
    tracemalloc.start()
    try:
        serve(costs, requests, WholePrompt())
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_request_that_was_served_leaves_two_numbers():
    peak_of(10)
    few, many = peak_of(500), peak_of(2500)
    assert many - few < 2000 * 50   # bytes: two float64, its place in the queue, and room to grow
