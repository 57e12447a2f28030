import pytest

from trilobite.hw import TlmmParameters, cycles
from trilobite.hw.matmul.engine_parameters import signed_width

KV260 = TlmmParameters(group_size=3, tables=32, columns=16, max_k=6912, max_m=6912)


@pytest.mark.parametrize(("magnitude", "width"), [(0, 1), (1, 2), (127, 8), (128, 9), (384, 10)])
def test_signed_width_holds_both_signs(magnitude, width):
    assert signed_width(magnitude) == width
    assert -1 << (width - 1) <= -magnitude <= magnitude <= (1 << (width - 1)) - 1


def test_what_follows_from_the_parameters():
    assert (KV260.entries, KV260.index_width, KV260.entry_width) == (14, 5, 10)
    assert (KV260.pass_length, KV260.macs_per_cycle) == (96, 1536)
    assert (KV260.max_passes, KV260.max_blocks) == (72, 432)
    assert KV260.accumulator_width == 21          # 6912 * 128 = 884,736 < 2^20
    assert (KV260.adder_levels, KV260.latency) == (5, 7)
    assert (KV260.passes(97), KV260.blocks(33)) == (2, 3)


def test_the_accumulator_covers_the_padding_of_the_last_pass():
    parameters = TlmmParameters(group_size=2, tables=4, columns=1, max_k=1, max_m=1)
    assert parameters.accumulator_width == signed_width(8 * 128)


@pytest.mark.parametrize("group_size", [2, 3, 4, 5])
def test_indices_of_a_group_fit(group_size):
    parameters = TlmmParameters(group_size, 1, 1, 1, 1)
    assert 2 * parameters.entries <= 1 << parameters.index_width < 4 * parameters.entries


@pytest.mark.parametrize(("changed", "sentence"), [
    ({"group_size": 1}, "group_size must be 2 to 5, not 1"),
    ({"group_size": 6}, "group_size must be 2 to 5, not 6"),
    ({"tables": 0}, "tables must be at least 1, not 0"),
    ({"columns": -1}, "columns must be at least 1, not -1"),
    ({"activation_width": 1}, "activation_width must be at least 2, not 1"),
    ({"max_k": 0}, "max_k must be at least 1, not 0"),
    ({"max_m": 0}, "max_m must be at least 1, not 0"),
])
def test_values_out_of_range_are_refused(changed, sentence):
    good = {"group_size": 3, "tables": 2, "columns": 2, "max_k": 12, "max_m": 4}
    with pytest.raises(ValueError, match=sentence):
        TlmmParameters(**good | changed)


@pytest.mark.parametrize("value", [2.0, "3", True, None])
def test_values_that_are_no_integers_are_refused(value):
    with pytest.raises(TypeError, match="tables must be an integer, not"):
        TlmmParameters(group_size=3, tables=value, columns=2, max_k=12, max_m=4)


@pytest.mark.parametrize(("K", "M", "N", "expected"), [
    (96, 16, 1, 1 + 14 + 1 + 7),                   # one beat: in, build, look up, out
    (96, 1536, 1, 1 + 14 + 96 + 7),                # one pass of 96 blocks
    (1536, 1536, 1, 1 + 14 + 16 * 96 + 7),         # lookups bound: 16 passes of 96
    (192, 16, 1, 1 + 14 + 14 + 1 + 7),             # building bound: the second pass waits for it
    (1536, 1536, 3, 1 + 14 + 3 * 16 * 96 + 7),     # jobs share one start and one end
])
def test_cycles_worked_out_by_hand(K, M, N, expected):
    assert cycles(KV260, K, M, N) == expected


@pytest.mark.parametrize("shape", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_cycles_of_nothing_are_refused(shape):
    with pytest.raises(ValueError, match="must be at least 1, not 0"):
        cycles(KV260, *shape)
