"""The machine as a device: measured values in, a description out, a prediction from it."""

from dataclasses import replace

import pytest

from trilobite.errors import EstimateError
from trilobite.model import LINEAR_NAMES
from trilobite.sim.descriptions.presets import constants, own_devices
from trilobite.sim.descriptions.shapes import load_shape
from trilobite.sim.descriptions.soc import in_cache, load_soc
from trilobite.sim.descriptions.tables import own_folder
from trilobite.sim.this_machine import calibrate as module
from trilobite.sim.this_machine import calibrate_layers
from trilobite.sim.this_machine.calibrate import (
    FORMATS,
    MATMUL,
    KernelRate,
    MachineCalibration,
    cache_bytes,
    calibrate,
    description_text,
)
from trilobite.sim.this_machine.calibrate_layers import (
    ATTENTION,
    ELEMENTWISE,
    PROMPT_ATTENTION,
    STEP,
    LayerRate,
    attention_operations,
    elementwise_elements,
)
from trilobite.sim.this_machine.runtime_estimate import estimate_runtime, resident_bytes
from trilobite.sim.verify.cycles.cases import MODELS

CONFIG = MODELS["llama-192"]
MADE_UP = MachineCalibration(
    2, 8 << 30, 0, (5e9, 6e9, 8e9),
    tuple(KernelRate(name, {1: (1e9, 2e9, 4e9), 16: (8e9, 8e9, 1.6e10)}, 1e-5)
          for name in FORMATS),
    (
        LayerRate(ATTENTION, "int8", {16: (1e9, 1e9, 1e9), 256: (4e9, 4e9, 4e9)}, 2e-6),
        LayerRate(PROMPT_ATTENTION, "int8", {16: (3e9, 3e9, 3e9)}, 3e-6),
        LayerRate(ELEMENTWISE, "silu", {1: (5e8, 5e8, 5e8)}, 4e-6),
        LayerRate(STEP, "int8", {1: (2e4, 2e4, 2e4)}, 0.0),
    ),
)
AROUND = 1 / 2e4   # s


@pytest.fixture
def soc(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    path = own_folder("devices") / "this-machine.toml"
    path.parent.mkdir(parents=True)
    path.write_text(description_text(MADE_UP))
    return load_soc("this-machine")


def test_what_was_measured_is_what_is_read(soc):
    rate = soc.processor("CPU").rate("matmul", "int4")
    assert rate.peak.nominal == pytest.approx(0.016)
    assert rate.start.nominal == pytest.approx(10)
    assert rate.efficiency(1) == pytest.approx(2 / 16)
    assert soc.dram.sustained.nominal == pytest.approx(6)
    assert soc.dram.peak.nominal == pytest.approx(8)
    assert all(constant.quantity.source for constant in constants(soc))
    assert list(own_devices()) == ["this-machine"]


def test_a_decode_step_by_hand(soc):
    weights = sum(M * K for M, K in map(CONFIG.linear_shape, LINEAR_NAMES))
    layers, width = CONFIG.num_layers, CONFIG.num_heads * CONFIG.head_dim
    elements = 4 * CONFIG.hidden_size + CONFIG.intermediate_size
    head = 2 * CONFIG.vocab_size * CONFIG.hidden_size / 2e9 + 1e-5
    # 64 positions: a rate half way between the buckets of 16 and 256, on logarithms.
    attention = 4 * width * 64 / 2e9 + 2e-6
    layer = 2 * weights / 2e9 + 7e-5 + attention + elements / 5e8 + 4e-6
    result = estimate_runtime(soc, CONFIG, "ternary", 63)
    assert result.rate.nominal == pytest.approx(1 / (layers * layer + head + AROUND))
    assert result.rate.low < result.rate.nominal < result.rate.high


def test_a_prompt_by_hand(soc):
    weights = sum(M * K for M, K in map(CONFIG.linear_shape, LINEAR_NAMES))
    width = CONFIG.num_heads * CONFIG.head_dim
    elements = 4 * CONFIG.hidden_size + CONFIG.intermediate_size
    layer = (2 * 16 * weights / 8e9 + 7e-5 + 4 * width * 16 * 17 / 2 / 3e9 + 3e-6
             + 16 * elements / 5e8 + 4e-6)
    head = 2 * CONFIG.vocab_size * CONFIG.hidden_size / 2e9 + 1e-5
    result = estimate_runtime(soc, CONFIG, "ternary", 16)
    assert result.first_token.nominal == pytest.approx(CONFIG.num_layers * layer + head + AROUND)


def test_a_model_that_the_cache_holds_takes_the_rates_in_cache(tmp_path):
    """Twice as fast there, and with no start; one byte of cache too few, and it does not count."""
    layers = tuple(replace(one, operator=in_cache(one.operator), start=0.0, rates={
        bucket: tuple(2 * rate for rate in rates) for bucket, rates in one.rates.items()})
        for one in MADE_UP.layers if one.operator != STEP)
    kernels = tuple(replace(one, operator=in_cache(one.operator), start=0.0, rates={
        bucket: tuple(2 * rate for rate in rates) for bucket, rates in one.rates.items()})
        for one in MADE_UP.kernels)
    needed = resident_bytes(CONFIG, "ternary", 63)
    seconds = {}
    for missing in (0, 1):
        path = tmp_path / f"{missing}.toml"
        path.write_text(description_text(replace(
            MADE_UP, cache=needed - missing, kernels=MADE_UP.kernels + kernels,
            layers=MADE_UP.layers + layers)))
        result = estimate_runtime(load_soc(str(path)), CONFIG, "ternary", 63)
        seconds[missing] = 1 / result.rate.nominal - AROUND
    starts = CONFIG.num_layers * (7 * 1e-5 + 2e-6 + 4e-6) + 1e-5
    assert seconds[1] - starts == pytest.approx(2 * seconds[0])


def test_resident_bytes_by_hand():
    """Two bits a ternary weight, a byte for each of the head's, of keys and of values."""
    config = replace(load_shape("bitnet-0.73b").config, num_layers=2)
    weights = 4 * 1536 * 1536 + 3 * 1536 * 4096
    assert resident_bytes(config, "ternary", 10) == (
        2 * weights // 4 + 32002 * 1536 + 2 * 2 * 1536 * 10)


def test_the_last_cache_is_what_counts(tmp_path):
    for index, (level, size) in enumerate([(1, "48K"), (1, "32K"), (2, "1024K"), (3, "32M")]):
        folder = tmp_path / f"index{index}"
        folder.mkdir()
        (folder / "level").write_text(f"{level}\n")
        (folder / "size").write_text(f"{size}\n")
    assert cache_bytes(tmp_path) == 32 << 20
    assert cache_bytes(tmp_path / "none") == 0


def test_a_window_bounds_what_a_token_sees(soc):
    windowed = replace(CONFIG, sliding_windows=(8,) * CONFIG.num_layers)
    seconds = [1 / estimate_runtime(soc, windowed, "ternary", prompt).rate.nominal
               for prompt in (8, 100)]
    assert seconds[0] == pytest.approx(seconds[1])
    assert 1 / estimate_runtime(soc, CONFIG, "ternary", 100).rate.nominal > seconds[1]


def test_work_of_a_layer_by_hand():
    """BitNet 0.73B: four passes over 1536, two over 4096, one over 16 heads of 96."""
    config = load_shape("bitnet-0.73b").config
    assert elementwise_elements(config) == 4 * 1536 + 2 * 4096 + 1536
    assert attention_operations(config, 10) == 4 * 1536 * 10
    with_norms = replace(config, sub_norm=False, qk_norm=True)
    assert elementwise_elements(with_norms) == 4 * 1536 + 4096 + 2 * 1536


def test_a_description_without_layers_is_refused(soc):
    old = replace(soc, processors=tuple(
        replace(one, rates=tuple(r for r in one.rates if r.operator == "matmul"))
        for one in soc.processors
    ))
    with pytest.raises(EstimateError, match="no rate for elementwise; run `trilobite calibrate`"):
        estimate_runtime(old, CONFIG, "ternary", 16)


def test_what_was_not_measured_is_refused(soc):
    with pytest.raises(EstimateError, match="no rate for matmul in fp8"):
        estimate_runtime(soc, CONFIG, "fp8", 1)
    with pytest.raises(EstimateError, match="at least 1 token"):
        estimate_runtime(soc, CONFIG, "int4", 0)


def test_a_measurement_in_small(monkeypatch):
    """Real kernels on small weights: every rate is above 0 and the spread in order."""
    for name, value in {"_SHAPE": (64, 256), "_SECOND": (32, 128), "_COLD_BYTES": 1 << 14,
                        "_READ_BYTES": 1 << 16, "_ROUNDS": 2, "_CACHED_SHAPE": (64, 256),
                        "_CACHED_SECOND": (32, 128), "_REPEATED": 2}.items():
        monkeypatch.setattr(module, name, value)
    for name, value in {"CONTEXTS": (16, 32), "PROMPTS": (4, 8), "TOKENS": (1, 4), "_HIDDEN": 256,
                        "_INTERMEDIATE": 512, "_FLUSHED": 1 << 14, "_ROUNDS": 2,
                        "_LAYERS": 2, "_STEPS": 2}.items():
        monkeypatch.setattr(calibrate_layers, name, value)
    measured = calibrate()
    assert [(kernel.format, kernel.operator) for kernel in measured.kernels] == [
        (name, operator) for name in FORMATS for operator in (MATMUL, in_cache(MATMUL))]
    rates = [rate for kernel in measured.kernels for rate in kernel.rates.values()]
    rates += [rate for layer in measured.layers for rate in layer.rates.values()]
    works = [(layer.operator, layer.precision) for layer in measured.layers]
    cold = [(ATTENTION, "int8"), (PROMPT_ATTENTION, "int8"), (ELEMENTWISE, "silu"),
            (ELEMENTWISE, "relu2")]
    assert works == [*cold, *((in_cache(operator), kind) for operator, kind in cold),
                     (STEP, "int8")]
    for low, nominal, high in (measured.bandwidth, *rates):
        assert 0 < low <= nominal <= high
    assert all(0 <= kernel.start < 1 for kernel in (*measured.kernels, *measured.layers))
    assert measured.threads >= 1
    assert measured.memory >= 1 << 30
