"""Descriptions at the door: what is refused, and that the message names the file and the key."""

import re
from pathlib import Path

import pytest

import trilobite
from trilobite.errors import EstimateError
from trilobite.sim.descriptions.device import load_device
from trilobite.sim.descriptions.shapes import load_shape, shape_names

FOLDER = Path(trilobite.__file__).parent / "sim" / "descriptions"
PEAK = "peak = { value = 19.2, unit = \"GB/s\", kind = \"source\""


def rewritten(tmp_path, bundled, old, new):
    """A copy of a bundled description with one piece of text replaced."""
    text = (FOLDER / bundled).read_text(encoding="utf-8")
    assert text.count(old) == 1
    path = tmp_path / "changed.toml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    return str(path)


def refused(load, path, message):
    with pytest.raises(EstimateError, match=re.escape(path) + ".*" + message):
        load(path)


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ("peek = 19.2\n" + PEAK, "dram: unknown key peek; known are capacity, energy, peak"),
        ("# " + PEAK, "dram: missing key peak"),
        ("peak = { value = 19.2, unit = \"MB/s\", kind = \"source\"",
         "dram: peak: the unit must be 'GB/s', not 'MB/s'"),
        ("peak = { value = 19.2, kind = \"source\"", "dram: peak: missing key unit"),
        ("peak = { value = 19.2, unit = \"GB/s\", sauce = \"x\", kind = \"source\"",
         "dram: peak: unknown key sauce"),
        ("peak = { low = 1, value = 19.2, unit = \"GB/s\", kind = \"source\"",
         "dram: peak: unknown key low"),
        ("peak = { low = 1, nominal = 2, unit = \"GB/s\", kind = \"source\"",
         "dram: peak: missing key high"),
        ("peak = { low = 3, nominal = 2, high = 4, unit = \"GB/s\", kind = \"source\"",
         "dram: peak: low <= nominal <= high does not hold"),
        ("peak = { value = nan, unit = \"GB/s\", kind = \"source\"",
         "dram: peak: low, nominal and high must be finite"),
        ("peak = { value = 0, unit = \"GB/s\", kind = \"source\"",
         "dram: peak: must be above 0, not 0 GB/s"),
        ("peak = { value = 1" + 400 * "0" + ", unit = \"GB/s\", kind = \"source\"",
         "dram: peak: low, nominal and high must be finite"),
        ("peak = { value = true, unit = \"GB/s\", kind = \"source\"",
         "dram: peak: low must be a number, not True"),
        ("peak = { value = \"19.2\", unit = \"GB/s\", kind = \"source\"",
         "dram: peak: low must be a number, not '19.2'"),
        ("peak = { value = 19.2, unit = 1, kind = \"source\"", "dram: peak: unit: must be text"),
        ("peak = { value = 19.2, unit = \"GB/s\", kind = \"guess\"",
         "dram: peak: kind 'guess' is unknown"),
    ],
)
def test_a_wrong_constant_is_refused_by_name(tmp_path, new, message):
    refused(load_device, rewritten(tmp_path, "devices/kv260.toml", PEAK, new), message)


def test_a_constant_must_be_a_table_of_its_own(tmp_path):
    old = next(
        line for line in (FOLDER / "devices/kv260.toml").read_text().splitlines()
        if line.startswith("peak")
    )
    path = rewritten(tmp_path, "devices/kv260.toml", old, "peak = 19.2")
    refused(load_device, path, "dram: peak: must be a table, not 19.2")


def test_a_source_must_say_something(tmp_path):
    path = rewritten(
        tmp_path, "devices/kv260.toml", "source = \"two per LUT in UltraScale+: 2 x 117,120\"",
        "source = \"\"",
    )
    refused(load_device, path, "fabric: flip_flop: unit and source must both say something")


@pytest.mark.parametrize("value", ["2.5", "{ low = 1, nominal = 2, high = 3 }"])
def test_a_count_must_be_one_whole_number(tmp_path, value):
    numbers = "value = 2.5" if value == "2.5" else "low = 1, nominal = 2, high = 3"
    path = rewritten(tmp_path, "devices/kv260.toml", "lut = { value = 117120",
                     "lut = { " + numbers)
    refused(load_device, path, "fabric: lut: must be one whole number")


def test_a_published_result_of_the_wrong_shape_is_refused(tmp_path):
    path = rewritten(tmp_path, "devices/kv260.toml", "name = \"PD-Swap\"", "name = 5")
    refused(load_device, path, r"published\[1\]: name: must be text, not 5")


def test_what_is_not_toml_or_not_there_is_refused(tmp_path):
    broken = tmp_path / "broken.toml"
    broken.write_text("name = ")
    refused(load_device, str(broken), "is not valid TOML")
    with pytest.raises(EstimateError, match="no description 'zx81' in devices; give one of a"):
        load_device("zx81")
    with pytest.raises(EstimateError, match="cannot be read"):
        load_device(str(tmp_path.rename(tmp_path.with_suffix(".toml"))))


def test_bundled_shapes_are_named():
    assert shape_names() == ["bitnet-0.73b", "bitnet-2b", "llama-2-7b"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("parameters = 728842752", "parameters = 7", "adds up to 728842752 parameters, .* says 7"),
        ("head_dim = 96\n", "", "config is not complete: .*head_dim"),
        ("head_dim = 96", "head_dim = 96\nheads = 3", "config: unknown key heads"),
        ("parameters = 728842752\n", "", "missing key parameters"),
    ],
)
def test_a_wrong_shape_is_refused(tmp_path, old, new, message):
    refused(load_shape, rewritten(tmp_path, "shapes/bitnet-0.73b.toml", old, new), message)


def test_published_parameter_counts():
    assert load_shape("bitnet-0.73b").parameters == 728_842_752
    assert load_shape("bitnet-2b").parameters == 2_412_820_480
    assert load_shape("llama-2-7b").parameters == 6_738_415_616
