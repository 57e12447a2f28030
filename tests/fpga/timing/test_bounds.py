"""No block of the kv260 configuration has deeper logic than ``fpga/timing/bounds.toml`` allows."""

import pytest

from trilobite.fpga.synth.blocks import BLOCKS, select_blocks
from trilobite.fpga.synth.flow import map_block
from trilobite.fpga.synth.targets import TARGETS
from trilobite.fpga.timing.analysis import analyse
from trilobite.fpga.timing.bounds import level_bounds, reduced
from trilobite.fpga.timing.depth import logic_depth
from trilobite.hw.unused import never_elaborated
from trilobite.sim.descriptions.accelerator import load_accelerator

ESTIMATED, MAPPED = (level_bounds("kv260", kind) for kind in ("estimated", "mapped"))
GROUPS = level_bounds("kv260-groups", "estimated")


def parameters(configuration="kv260"):
    return load_accelerator(configuration).whole()


@pytest.mark.parametrize(("configuration", "block", "most"), [
    *(("kv260", *bound) for bound in ESTIMATED.items()),
    *(("kv260-groups", *bound) for bound in GROUPS.items())])
def test_no_block_is_deeper_than_its_bound(configuration, block, most):
    found = logic_depth(BLOCKS[block].make(reduced(parameters(configuration))))
    assert found.levels <= most, (
        f"The logic of {block} that ends at {found.end} is {found.levels} levels deep by the "
        f"estimate; fpga/timing/bounds.toml allows {most}")


def test_every_part_and_float_unit_has_its_bounds():
    names = [block.name for block in (*select_blocks([]), *select_blocks(["float-*"]))]
    assert sorted(ESTIMATED) == sorted(names)
    assert not set(MAPPED) - set(names)
    options = {block.name for block in select_blocks([], parameters("kv260-groups"))} - set(names)
    assert options <= set(GROUPS)


@pytest.mark.slow
@pytest.mark.parametrize("block", MAPPED)
def test_no_mapped_block_is_deeper_than_its_bound(block):
    timing = analyse(map_block(BLOCKS[block], parameters(), TARGETS["kv260"]), 250.0)
    assert timing.deepest <= MAPPED[block], (
        f"{block} has a path of {timing.deepest} levels; its slowest leads from "
        f"{timing.paths[0].start} to {timing.paths[0].end}")
    assert not timing.lost


def test_reduced_parameters_are_those_of_the_configuration_but_for_copies():
    with never_elaborated():
        small = reduced(parameters())
    assert (small.lanes, small.word_bytes) == (parameters().lanes, parameters().word_bytes)
