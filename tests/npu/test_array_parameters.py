import pytest

from trilobite.npu import ArrayParameters, Stationary


@pytest.mark.parametrize(("keywords", "message"), [
    ({"stationary": "weights"}, "must be a Stationary, not 'weights'"),
    ({"rows": 0}, "rows must be 1 to 65535, not 0"),
    ({"tokens": True}, "tokens must be 1 to 65535, not True"),
    ({"lanes": 48}, "lanes must divide its group_size 128; 48 do not"),
    ({"group_size": 16}, "group_size must be 32, 64 or 128, not 16"),
])
def test_bad_parameters_are_refused(keywords, message):
    with pytest.raises(ValueError, match=message):
        ArrayParameters(**{"stationary": Stationary.WEIGHT, **keywords})


def test_by_hand():
    outputs = ArrayParameters(Stationary.OUTPUT, rows=4, lanes=16, tokens=3)
    weights = ArrayParameters(Stationary.WEIGHT, rows=4, lanes=16, tokens=3)
    assert (outputs.macs_per_cycle, weights.macs_per_cycle) == (192, 64)
    assert (outputs.beats_per_group, outputs.group_width) == (8, 29)
    assert (outputs.busy_cycles(5, 3), weights.busy_cycles(5, 3)) == (40, 160)
