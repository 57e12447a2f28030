import pytest
from amaranth.hdl import Fragment

from trilobite.errors import ToolError
from trilobite.fpga.core import Core
from trilobite.fpga.synth.blocks import BLOCKS, select_blocks
from trilobite.hw.unused import never_elaborated
from trilobite.sim.descriptions.accelerator import load_accelerator


def test_the_parts_are_what_the_accelerator_is_made_of():
    parameters = load_accelerator("demo").whole()
    with never_elaborated():
        core = Fragment.get(Core(parameters), None)
        inside = sorted(type(fragment.origins[0]).__name__ for fragment, *_ in core.subfragments)
        parts = sorted(type(block.make(parameters)).__name__
                       for block in select_blocks([], parameters))
    assert parts == inside
    options = {block.name for block in select_blocks([], parameters)} - {
        block.name for block in select_blocks([], load_accelerator("kv260").whole())}
    assert options == {"bias", "job-repeater", "digit-sum", "scale-splitter", "scale-buffer",
                       "group-dequantizer"}


@pytest.mark.parametrize("device", ["kv260", "demo"])
@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_every_block_can_be_made(block, device):
    with never_elaborated():
        assert block.make(load_accelerator(device).whole()).signature.members


def test_compared_engines_do_as_much_per_cycle():
    parameters = load_accelerator("kv260").whole()
    compared = [*select_blocks(["tlmm-g*"]), *select_blocks(["sign-select-g*"])]
    assert [block.macs_per_cycle(parameters) for block in compared] == [840] * 8
    assert BLOCKS["quantizer"].macs_per_cycle(parameters) is None


def test_blocks_are_chosen_by_patterns_each_once():
    chosen = select_blocks(["float-add", "float-*", "tlmm"])
    names = [block.name for block in chosen]
    assert names[0] == "float-add" and names[-1] == "tlmm"
    assert len(names) == len(set(names)) == 11


def test_a_pattern_without_a_block_is_refused():
    with pytest.raises(ToolError, match="no block 'atention'; there are shared-reader"):
        select_blocks(["tlmm", "atention"])
