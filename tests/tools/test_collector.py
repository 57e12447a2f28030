"""The collector of reference cycles is off within the block, and afterwards as it was."""

import gc

import pytest

from trilobite.tools.collector import without_collections


def test_it_is_off_within_the_block_and_on_again_after_an_error():
    with pytest.raises(KeyError), without_collections():
        assert not gc.isenabled()
        raise KeyError
    assert gc.isenabled()


def test_a_block_within_another_does_not_switch_it_on():
    with without_collections():
        with without_collections():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
