"""Models run by onnxruntime, and decoders fed as their users feed them."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from trilobite.quant.checkpoint import open_checkpoint
from trilobite.quant.formats import PackedWeight
from trilobite.runtime.decoder import Decoder
from trilobite.runtime.language_model import LanguageModel


def session(model: Path | onnx.ModelProto, exact: bool = True) -> onnxruntime.InferenceSession:
    """A CPU session; ``exact`` keeps it from rounding activations of DequantizeLinear and MatMul.

    By default onnxruntime replaces that pair by MatMulNBits with int8 activations.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    if exact:
        options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "0")
    given = str(model) if isinstance(model, Path) else model.SerializeToString()
    return onnxruntime.InferenceSession(given, options, ["CPUExecutionProvider"])


class OnnxDecoder:
    """An exported folder, checked by ``onnx.checker`` and run by onnxruntime."""

    def __init__(self, folder: Path, exact: bool = True) -> None:
        onnx.checker.check_model(str(folder / "model.onnx"), full_check=True)
        self._session = session(folder / "model.onnx", exact)
        self._past = {
            given.name: given.shape for given in self._session.get_inputs()
            if given.name.startswith("past_key_values.")
        }

    def start(self, batch: int = 1) -> dict[str, np.ndarray]:
        """An empty cache."""
        return {
            name: np.zeros((batch, heads, 0, width), np.float32)
            for name, (_, heads, _, width) in self._past.items()
        }

    def feed(self, ids, past, mask=None):
        """Logits [batch, tokens, vocabulary] of ``ids`` [batch, tokens], and the new cache."""
        ids = np.asarray(ids, np.int64)
        if mask is None:
            seen = next(iter(past.values())).shape[2]
            mask = np.ones((len(ids), seen + ids.shape[1]), np.int64)
        logits, *present = self._session.run(
            None, {"input_ids": ids, "attention_mask": np.asarray(mask, np.int64), **past}
        )
        return logits, dict(zip(past, present, strict=True))

    def greedy(self, prompt, count):
        """The ``count`` most probable tokens after ``prompt``, one step at a time."""
        logits, past = self.feed([prompt], self.start())
        tokens = []
        for _ in range(count):
            tokens.append(int(logits[0, -1].argmax()))
            logits, past = self.feed([tokens[-1:]], past)
        return tokens


def float_model(folder) -> LanguageModel:
    """The runtime on the numbers that a checkpoint's codes stand for, all in float32."""
    with open_checkpoint(folder) as checkpoint:
        def numbers(name):
            weight = checkpoint.weight(name)
            return weight.dequantize() if isinstance(weight, PackedWeight) else weight

        return LanguageModel(checkpoint.folder, Decoder(checkpoint.config, numbers), "float32")


def relative_difference(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, over the range of what is expected."""
    return float(np.abs(found - expected).max() / np.ptp(expected))
