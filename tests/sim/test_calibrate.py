"""The machine as a device: measured values in, a description out, a prediction from it."""

import pytest

from trilobite.errors import EstimateError
from trilobite.model import LINEAR_NAMES
from trilobite.sim import calibrate as module
from trilobite.sim.calibrate import FORMATS, Calibration, KernelRate, calibrate, description_text
from trilobite.sim.cycle_model.cases import MODELS
from trilobite.sim.presets import constants, own_devices
from trilobite.sim.runtime_estimate import estimate_runtime
from trilobite.sim.soc import load_soc
from trilobite.sim.tables import own_folder

CONFIG = MODELS["llama-192"]
MADE_UP = Calibration(2, 8 << 30, (5e9, 6e9, 8e9), tuple(
    KernelRate(name, {1: (1e9, 2e9, 4e9), 16: (8e9, 8e9, 1.6e10)}, 1e-5) for name in FORMATS))


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
    seconds = (2 * weights + 2 * CONFIG.vocab_size * CONFIG.hidden_size) / 2e9 + 8 * 1e-5
    result = estimate_runtime(soc, CONFIG, "ternary", 16)
    assert result.rate.nominal == pytest.approx(1 / seconds)
    assert result.rate.low < result.rate.nominal < result.rate.high
    more = 2 * 16 * weights / 8e9 + 2 * CONFIG.vocab_size * CONFIG.hidden_size / 2e9 + 8e-5
    assert result.first_token.nominal == pytest.approx(more)


def test_what_was_not_measured_is_refused(soc):
    with pytest.raises(EstimateError, match="no rate for matmul in fp8"):
        estimate_runtime(soc, CONFIG, "fp8", 1)
    with pytest.raises(EstimateError, match="at least 1 token"):
        estimate_runtime(soc, CONFIG, "int4", 0)


def test_a_measurement_in_small(monkeypatch):
    """Real kernels on small weights: every rate is above 0 and the spread in order."""
    for name, value in {"_SHAPE": (64, 256), "_COLD_BYTES": 1 << 14, "_READ_BYTES": 1 << 16,
                        "_ROUNDS": 2}.items():
        monkeypatch.setattr(module, name, value)
    measured = calibrate()
    assert [kernel.format for kernel in measured.kernels] == list(FORMATS)
    rates = [rate for kernel in measured.kernels for rate in kernel.rates.values()]
    for low, nominal, high in (measured.bandwidth, *rates):
        assert 0 < low <= nominal <= high
    assert all(0 < kernel.start < 1 for kernel in measured.kernels)
    assert measured.threads >= 1
    assert measured.memory >= 1 << 30
