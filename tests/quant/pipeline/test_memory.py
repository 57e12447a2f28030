"""Memory: what a process that quantizes a large tensor really takes."""

import json
import subprocess
import sys

import numpy as np
import pytest

from support.llama_folder import CONFIG, write_llama
from trilobite.quant.checkpoint import parse_config
from trilobite.quant.output.safetensors_writer import SafetensorsWriter, TensorEntry
from trilobite.quant.pipeline import estimate_memory

# q_proj and o_proj of 65536 x 2048 and 2048 x 65536 in bfloat16: 268 MB each.
LARGE = {
    "hidden_size": 2048, "intermediate_size": 128, "num_hidden_layers": 1,
    "num_attention_heads": 512, "num_key_value_heads": 1, "head_dim": 128, "vocab_size": 64,
}
LARGEST_BYTES = 2048 * 65536 * 2

MEASURE = """
import sys
from pathlib import Path
from trilobite.quant.pipeline import quantize
quantize(sys.argv[1], sys.argv[2], sys.argv[3])
status = Path("/proc/self/status").read_text()
print(1024 * int(status.partition("VmHWM:")[2].split()[0]))
"""   # not getrusage: its maximum begins with the memory of the process that forked this one


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A checkpoint whose two largest tensors have 268 MB each, written without holding one."""
    folder = tmp_path_factory.mktemp("large")
    config = {**CONFIG, **LARGE}
    (folder / "config.json").write_text(json.dumps(config))
    shapes = parse_config(config, folder / "config.json").tensor_shapes()
    entries = {name: TensorEntry("BF16", shape) for name, shape in shapes.items()}
    generator = np.random.default_rng(0)
    row = generator.integers(0x3C00, 0x3E00, 65536, dtype=np.uint16)   # 0.0078 to 0.125
    with SafetensorsWriter(folder / "model.safetensors", entries) as writer:
        for name, shape in shapes.items():
            width = shape[-1]
            for _ in range(shape[0] if len(shape) == 2 else 1):
                writer.append(name, row[:width])
    return folder


@pytest.mark.parametrize("format", ["ternary", "int4", "int8", "fp8"])
def test_peak_memory(large, tmp_path, format):
    command = [sys.executable, "-c", MEASURE, str(large), str(tmp_path / "out"), format]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    peak = int(run.stdout)
    estimate = estimate_memory(large, format=format)
    assert peak <= estimate
    assert estimate <= 2 * LARGEST_BYTES + 300_000_000
    assert estimate < 2 * peak   # an estimate, not an excuse
    assert peak < LARGEST_BYTES    # rows pass through; not even the stored tensor is held


CALIBRATE = """
import sys
from pathlib import Path
import numpy as np
from trilobite.quant.pipeline import quantize
from trilobite.runtime.calibration_text import CalibrationText
text = CalibrationText(np.random.default_rng(0).integers(0, 48, (16, 64)), "random", 0)
quantize(sys.argv[1], sys.argv[2], "int4", method="gptq", calibration=text)
status = Path("/proc/self/status").read_text()
print(1024 * int(status.partition("VmHWM:")[2].split()[0]))
"""


def test_peak_memory_of_calibration(tmp_path):
    shape = {"hidden_size": 256, "intermediate_size": 2048, "num_attention_heads": 4,
             "num_hidden_layers": 1}
    write_llama(tmp_path / "llama", **shape)
    command = [sys.executable, "-c", CALIBRATE, str(tmp_path / "llama"), str(tmp_path / "out")]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    assert int(run.stdout) <= estimate_memory(tmp_path / "llama", 16 * 64) < 3 * int(run.stdout)
