"""What an exported decoder computes, beside the runtime: differences of logits, perplexity, size.

python benchmarks/onnx_logits.py --tokens 2048
"""

from __future__ import annotations

import argparse
import math
import tempfile
from pathlib import Path

import numpy as np

import trilobite
from trilobite.quant.checkpoint import open_checkpoint
from trilobite.quant.export import EXPORTERS, export
from trilobite.quant.formats import PackedWeight
from trilobite.runtime.decoder import Decoder
from trilobite.runtime.language_model import LanguageModel

_WINDOW = 512
_CASES = (
    ("demo-bitnet", {"format": "ternary"}),
    ("demo-llama", {"format": "int8"}),
    ("demo-llama", {"format": "int4,group_size=32"}),
    ("demo-llama", {"format": "int3"}),
    ("demo-llama", {"format": "int2,group_size=32"}),
    ("demo-llama", {"format": "ternary-group"}),
    ("demo-llama", {"format": "mxfp4"}),
    ("demo-llama", {"format": "fp8"}),
)


def main() -> None:
    """Print a line per model, format and type."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=2048, help="of the held-out text")
    count = parser.parse_args().tokens
    print("| model | format | `--type` | files | to float | to int8 | perplexity | runtime's |")
    print("|---|---|---|---|---|---|---|---|")
    for model, options in _CASES:
        with tempfile.TemporaryDirectory() as folder:
            _compare(Path(folder), model, options, count)


def _compare(folder: Path, model: str, options: dict, count: int) -> None:
    trilobite.quantize(model, folder / "q", **options)
    tokens = np.array(trilobite.load(model).held_out_tokens()[:count + 1])
    windows = [tokens[begin:begin + _WINDOW] for begin in range(0, count, _WINDOW)]
    integer = trilobite.load(folder / "q")
    expected = [[run.logits(window) for window in windows]
                for run in (_float_model(folder / "q"), integer)]
    perplexity = _perplexity(expected[1], tokens)
    for type in EXPORTERS["onnx"].types:
        if options["format"] == "fp8" and type != "qdq":
            continue   # MatMulNBits multiplies integers
        record = export(folder / "q", folder / "out", EXPORTERS["onnx"], type, overwrite=True)
        size = sum(file.bytes for file in record.files if file.name.startswith("model.onnx"))
        found = _onnx_logits(folder / "out", integer, windows)
        to_float, to_int8 = (
            max(np.abs(a - b).max() / np.ptp(b) for a, b in zip(found, runs, strict=True))
            for runs in expected
        )
        name = " ".join(str(value) for value in options.values())
        print(f"| {model} | {name} | {type} | {size / 1e6:.2f} MB | {to_float:.1e} | {to_int8:.1e}"
              f" | {_perplexity(found, tokens):.3f} | {perplexity:.3f} |", flush=True)


def _float_model(folder: Path) -> LanguageModel:
    """The runtime in float32 on the numbers that the codes stand for."""
    with open_checkpoint(folder) as checkpoint:
        def numbers(name: str) -> np.ndarray:
            weight = checkpoint.weight(name)
            return weight.dequantize() if isinstance(weight, PackedWeight) else weight

        return LanguageModel(checkpoint.folder, Decoder(checkpoint.config, numbers), "float32")


def _onnx_logits(
    folder: Path, model: LanguageModel, windows: list[np.ndarray]
) -> list[np.ndarray]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "0")
    session = onnxruntime.InferenceSession(
        str(folder / "model.onnx"), options, ["CPUExecutionProvider"]
    )
    config = model.config
    empty = np.zeros((1, config.num_kv_heads, 0, config.head_dim), np.float32)
    past = {each.name: empty for each in session.get_inputs() if each.name.startswith("past")}
    return [
        session.run(["logits"], {
            "input_ids": window[None].astype(np.int64),
            "attention_mask": np.ones((1, len(window)), np.int64), **past,
        })[0][0]
        for window in windows
    ]


def _perplexity(logits: list[np.ndarray], tokens: np.ndarray) -> float:
    wide = np.concatenate(logits).astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    chosen = wide[np.arange(len(wide)), tokens[1:len(wide) + 1]]
    return math.exp(float((np.log(np.exp(wide).sum(axis=1)) - chosen).mean()))


if __name__ == "__main__":
    main()
