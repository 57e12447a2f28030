"""Every bundled device: complete, within physical bounds, and labelled."""

from pathlib import Path

import pytest

import trilobite
from trilobite.errors import EstimateError
from trilobite.sim.descriptions.device import load_device
from trilobite.sim.descriptions.presets import bundled_devices, constants, kinds, read_device
from trilobite.sim.descriptions.soc import Soc, load_soc

FOLDER = Path(trilobite.__file__).parent / "sim" / "descriptions" / "devices"
DEVICES = bundled_devices()
SOCS = [device for device in DEVICES.values() if isinstance(device, Soc)]


def test_the_bundled_devices_by_kind():
    boards = {"crosslink-nx-40", "ecp5-85f", "kv260", "zcu104"}
    assert {name for name, device in DEVICES.items() if device.kind == "fpga"} == boards
    assert {name for name, device in DEVICES.items() if device.kind == "soc"} >= {
        "apple-m2", "ethos-u85", "jetson-agx-orin", "raspberry-pi-5", "rk3588",
        "snapdragon-8-gen-3", "ryzen-ai-krackan"}


@pytest.mark.parametrize("device", DEVICES.values(), ids=DEVICES)
def test_no_memory_is_faster_than_its_pins(device):
    dram = device.dram
    assert dram.sustained.low > 0
    assert dram.sustained.high <= dram.peak.high
    assert dram.sustained.nominal <= dram.peak.nominal
    assert dram.energy.low >= 1
    assert dram.energy.high <= 100


@pytest.mark.parametrize("soc", SOCS, ids=lambda soc: soc.name)
def test_no_processor_is_faster_than_the_memory_and_none_idles_hotter_than_it_runs(soc):
    for processor in soc.processors:
        assert 0 < processor.bandwidth.nominal <= soc.dram.peak.nominal
        assert processor.power.low > 0
        assert processor.rates


COUNTS = {"active_clock", "active_lut", "lut", "flip_flop", "bram", "uram", "dsp", "capacity",
          "tokens"}


@pytest.mark.parametrize("device", DEVICES.values(), ids=DEVICES)
def test_what_is_no_count_advertised_peak_or_quotation_has_a_range(device):
    """A part without a block draws nothing for it: an exact 0."""
    for constant in constants(device):
        quantity, name = constant.quantity, constant.path.split(".")[-1]
        assert quantity.source, constant.path
        assert quantity.unit, constant.path
        if name in COUNTS or name == "peak" or constant.path.startswith("published"):
            continue
        assert quantity.low < quantity.high or quantity.high == 0, constant.path


@pytest.mark.parametrize("device", DEVICES.values(), ids=DEVICES)
def test_a_remembered_figure_is_an_assumption(device):
    for constant in constants(device):
        quantity = constant.quantity
        if "from memory" in quantity.source or "nothing to cite" in quantity.source:
            assert quantity.kind == "assumption", constant.path


def test_kinds_count_every_constant():
    assert kinds(DEVICES["kv260"]).total() == len(list(constants(DEVICES["kv260"])))
    paths = [constant.path for constant in constants(DEVICES["apple-m2"])]
    assert "dram.peak" in paths
    assert "processors[1].rates[0].buckets[1].efficiency" in paths


def test_processors_that_share_a_memory_get_less_than_the_sum():
    soc = load_soc("snapdragon-8-gen-3")
    alone = [soc.processor(name).bandwidth.nominal for name in ("CPU", "NPU")]
    assert alone == [43.9, 56.0]
    assert soc.dram.sustained.nominal == 59.6


def written(tmp_path, old, new, bundled="raspberry-pi-5"):
    """A copy of a bundled device with one piece of text replaced."""
    content = (FOLDER / f"{bundled}.toml").read_text(encoding="utf-8")
    assert content.count(old) == 1
    path = tmp_path / "mine.toml"
    path.write_text(content.replace(old, new), encoding="utf-8")
    return str(path)


def test_a_file_of_ones_own_is_a_device(tmp_path):
    path = written(tmp_path, 'name = "Raspberry Pi 5"', 'name = "Mine"')
    assert read_device(path).name == "Mine"
    assert load_soc(path) == read_device(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('kind = "soc"', 'kind = "toaster"', "kind must be 'fpga' or 'soc', not 'toaster'"),
        ('kind = "cpu"', 'kind = "dsp"',
         r"processors\[0\]: kind of CPU must be one of cpu, gpu, npu, not 'dsp'"),
        ("tokens = { value = 64", "tokens = { value = 1",
         r"rates\[0\]: buckets must have rising numbers of tokens from 1, not \[1, 1\]"),
        ("low = 0.05, nominal = 0.18, high = 0.35", "low = 0.05, nominal = 0.18, high = 1.8",
         "the efficiency with 64 tokens must be above 0 and at most 1, not 0.05 to 1.8"),
        ("[power]", "[power]\nfan = 1", "power: unknown key fan; known are idle"),
        ('operator = "matmul"\n', "", r"rates\[0\]: missing key operator"),
        ("value = 0.614, unit = \"TOPS\"", "value = 0.614, unit = \"GFLOPS\"",
         "peak: the unit must be 'TOPS', not 'GFLOPS'"),
    ],
)
def test_a_wrong_description_is_refused_with_file_and_key(tmp_path, old, new, message):
    path = written(tmp_path, old, new)
    with pytest.raises(EstimateError, match="mine.toml.*" + message):
        read_device(path)


def test_each_loader_refuses_the_other_kind():
    with pytest.raises(EstimateError, match=r"apple-m2\.toml: a SoC has no fabric"):
        load_device("apple-m2")
    with pytest.raises(EstimateError, match=r"kv260\.toml: an FPGA board has no processors"):
        load_soc("kv260")


def test_asking_for_what_is_not_there_names_what_is():
    soc = load_soc("snapdragon-8-gen-3")
    with pytest.raises(EstimateError, match="no processor 'DSP'; it has CPU, GPU, NPU"):
        soc.processor("DSP")
    with pytest.raises(EstimateError, match="GPU has no rate for matmul in int8; it has matmul in"):
        soc.processor("GPU").rate("matmul", "int8")
