"""Descriptions at the door: what is refused, and that the message names the file and the key."""

import os
import re
from pathlib import Path

import pytest

import trilobite
from trilobite.errors import EstimateError
from trilobite.sim.descriptions.accelerator import load_accelerator
from trilobite.sim.descriptions.device import load_device
from trilobite.sim.descriptions.shapes import load_shape, shape_names
from trilobite.sim.descriptions.soc import load_soc
from trilobite.sim.descriptions.tables import bundled_folder, own_folder, own_names

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
         "dram: peak: value: an integer of TOML is -2.63 to 2.63 - 1, and this is not"),
        ("peak = { value = 0x1" + 8000 * "0" + ", unit = \"GB/s\", kind = \"source\"",
         "dram: peak: value: an integer of TOML is -2.63 to 2.63 - 1, and this is not"),
        ("peak = { value = 1e-320, unit = \"GB/s\", kind = \"source\"",
         "dram: peak: must be 0, or from 1e-12 to 1e[+]18, not "),
        ("peak = { value = 1e300, unit = \"GB/s\", kind = \"source\"",
         "dram: peak: must be 0, or from 1e-12 to 1e[+]18, not 1e[+]300"),
        ("peak = { value = 1979-05-27, unit = \"GB/s\", kind = \"source\"",
         "dram: peak: value must be a number, not datetime.date"),
        ("peak = { value = [1, 2], unit = \"GB/s\", kind = \"source\"",
         "dram: peak: value must be a number, not .1, 2."),
        ("peak = { value = true, unit = \"GB/s\", kind = \"source\"",
         "dram: peak: value must be a number, not True"),
        ("peak = { value = \"19.2\", unit = \"GB/s\", kind = \"source\"",
         "dram: peak: value must be a number, not '19.2'"),
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
    with pytest.raises(EstimateError, match="is a folder; it must be a regular file"):
        load_device(str(tmp_path.rename(tmp_path.with_suffix(".toml"))))


@pytest.mark.parametrize("content", [
    "a = 1" + 5000 * "0", "a = " + 100_000 * "[", "config = 3", "[[config]]\n",
])
@pytest.mark.parametrize("load", [load_device, load_shape, load_accelerator])
def test_toml_that_is_no_description_is_refused(tmp_path, load, content):
    path = tmp_path / "hostile.toml"
    path.write_text(content)
    refused(load, str(path), "")


def test_a_pipe_and_a_large_file_are_no_description(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    refused(load_device, str(tmp_path / "pipe.toml"), "is a pipe; it must be a regular file")
    large = tmp_path / "large.toml"
    large.write_text("#" * ((1 << 20) + 1))
    refused(load_shape, str(large), "is larger than 1 MiB")


def test_a_relative_data_folder_is_ignored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", "stranger")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    folder = tmp_path / "stranger" / "trilobite" / "devices"
    folder.mkdir(parents=True)
    (folder / "planted.toml").write_text("")
    assert own_names("devices") == []
    assert own_folder("devices") == tmp_path / "home/.local/share/trilobite/devices"


def test_without_a_home_there_are_no_descriptions_of_ones_own(monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    assert own_names("devices") == []
    with pytest.raises(EstimateError, match="no folder for descriptions, because HOME is not set"):
        own_folder("devices")


@pytest.mark.parametrize("name", ["x" * 5000, "x" * 5000 + ".toml", "a\0b", "a\0b.toml"])
def test_a_name_that_no_file_can_have_is_refused(name):
    with pytest.raises(EstimateError):
        load_device(name)


@pytest.mark.parametrize(("key", "value"), [
    ("activation_width", 10**12), ("tables", 10**9), ("columns", 10**9), ("max_k", 10**12),
    ("max_m", 10**12),
])
def test_an_engine_beyond_its_bounds_is_refused(tmp_path, key, value):
    text = (bundled_folder("accelerators") / "tlmm-kv260.toml").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith(f"{key} =")]
    lines.insert(lines.index("[tlmm]") + 1, f"{key} = {value}")
    path = tmp_path / "large.toml"
    path.write_text("\n".join(lines))
    refused(load_accelerator, str(path), f"tlmm: TLMM parameter {key} must be at most")


def test_bundled_shapes_are_named():
    assert {"bitnet-0.73b", "bitnet-2b", "llama-2-7b", "qwen3-1.7b"} <= set(shape_names())


@pytest.mark.parametrize("name", shape_names())
def test_a_bundled_shape_adds_up_to_its_published_count(name):
    assert load_shape(name).parameters > 100_000_000


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("parameters = 728842752", "parameters = 7", "adds up to 728842752 parameters, .* says 7"),
        ("head_dim = 96\n", "", "config: missing key head_dim"),
        ("head_dim = 96", "head_dim = 95", '"head_dim" is 95; it must be even'),
        ("num_layers = 24", "num_layers = 10_000_000",
         'config: "num_layers" is 10000000; it must be an integer from 1 to 4096'),
        ("num_layers = 24", "num_layers = [24]", "it must be an integer from 1 to 4096"),
        ("num_layers = 24", "num_layers = 1979-05-27", "it must be an integer from 1 to 4096"),
        ("num_heads = 16", "num_heads = true", "it must be an integer from 1 to 1048576"),
        ("num_kv_heads = 16", "num_kv_heads = 5", "it must be a divisor of the 16 heads"),
        ("rope_theta = 10000.0", "rope_theta = nan", "it must be a number from 1 to 1e[+]12"),
        ("rms_norm_eps = 1e-5", "rms_norm_eps = inf", "it must be a number from 1e-12 to 1"),
        ("activation = \"silu\"", "activation = []", "it must be one of \"silu\", \"relu2\""),
        ("sub_norm = true", "sub_norm = 1", "it must be true or false"),
        ("sub_norm = true", "sub_norm = true\nsliding_windows = [1]", "a window for each of 24"),
        ("sub_norm = true", "sub_norm = true\neos_token_ids = [99999]", "from 0 to 32001"),
        ("sub_norm = true", "sub_norm = true\nrope_scaling = 3", "it must be a JSON object"),
        ("name = \"BitNet 0.73B\"", "name = 1979-05-27", "name: must be text, not datetime"),
        ("parameters = 728842752", "parameters = \"many\"", "parameters: must be a whole number"),
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



def test_a_constant_may_be_that_of_another_description():
    kv260 = load_device("kv260").power
    assert load_device("zcu104").power.int8_mac.nominal == kv260.int8_mac.nominal
    small = load_device("ecp5-85f").power.int8_mac
    assert (small.low, small.nominal, small.high) == (
        2 * kv260.int8_mac.low, 3 * kv260.int8_mac.nominal, 4 * kv260.int8_mac.high)
    assert small.kind == "assumption" and "as that of kv260: no citable" in small.source
    shared = load_soc("apple-m4").dram.energy
    assert shared == load_soc("jetson-orin-nano").dram.energy and shared.nominal == 7.0


@pytest.mark.parametrize(("value", "message"), [
    ('{ as = "kv260.power.warmth" }', "as must name a constant of a bundled device"),
    ('{ as = "nowhere.power.idle" }', "as must name a constant"),
    ('{ as = "kv260.power.idle", times = 2.0 }', "source must say why"),
    ('{ as = "kv260.power.idle", times = "twice", source = "x" }',
     "times: must be a number, not 'twice'"),
    ('{ as = "kv260.dram.peak" }', "the unit must be 'W', not 'GB/s'"),
    ('{ as = "kv260.power.idle", value = 1.0 }', "unknown key value"),
])
def test_a_constant_that_is_not_there_is_refused(tmp_path, value, message):
    text = (bundled_folder("devices") / "kv260.toml").read_text()
    line, = (line for line in text.splitlines() if line.startswith("idle ="))
    mine = tmp_path / "mine.toml"
    mine.write_text(text.replace(line, f"idle = {value}"))
    with pytest.raises(EstimateError, match=message):
        load_device(str(mine))
