import numpy as np
import pytest

from trilobite.errors import ToolError
from trilobite.fpga.synth.targets import TARGETS
from trilobite.fpga.timing.arcs import arcs_file, load_arcs

GOOD = """part = "paper"
family = "made"
clock = 100
sources = { here = "a source" }
nets = [{ fanout = 4, ns = [1, 2, 3], source = "here" }, { ns = [4, 5, 6], source = "here" }]
[cells]
lut = { ns = [0.1, 0.2, 0.3], source = "here" }
"""


def test_a_nets_delay_is_that_of_its_class_of_fanout(tmp_path):
    (tmp_path / "paper.toml").write_text(GOOD)
    arcs = load_arcs(tmp_path / "paper.toml")
    assert arcs.nets(np.array([0, 4, 5, 5000]))[:, 1].tolist() == [2, 2, 5, 5]
    assert arcs.delays(("lut", "lut")).tolist() == pytest.approx([0.2, 0.4, 0.6])


@pytest.mark.parametrize(("old", "new", "sentence"), [
    ('0.3], source = "here"', '0.3], source = "hearsay"',
     "paper.toml: cells: lut: source 'hearsay' is none of"),
    ("[0.1, 0.2, 0.3]", "[0.3, 0.2, 0.1]", "cells: lut: ns must be three delays, optimistic <="),
    ("[4, 5, 6]", "[-4, 5, 6]", "nets: ns must be three delays"),
    ("[1, 2, 3]", "[1, 2]", "nets: ns must be three delays"),
])
def test_a_figure_without_a_source_or_order_is_refused(tmp_path, old, new, sentence):
    assert old in GOOD
    (tmp_path / "paper.toml").write_text(GOOD.replace(old, new))
    with pytest.raises(ToolError, match=sentence):
        load_arcs(tmp_path / "paper.toml")


def test_the_devices_have_delays():
    for path in arcs_file("kv260").parent.iterdir():
        assert path.stem in TARGETS
        assert load_arcs(path).ns["clock.overhead"].min() >= 0


def test_a_device_without_delays_is_refused():
    with pytest.raises(ToolError, match="no delays for 'zcu104'; there are for .*kv260"):
        arcs_file("zcu104")
