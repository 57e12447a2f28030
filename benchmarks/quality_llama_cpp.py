"""llama.cpp's own quantizer beside ours: perplexity and bits of the same model, on the same text.

    python benchmarks/quality_llama_cpp.py                    # Q4_0, Q2_K and TQ2_0 of demo-llama

The model is exported to an F16 GGUF, quantized by ``llama_model_quantize``, and run by llama.cpp
on the windows that ``trilobite evaluate`` takes. Needs llama-cpp-python and gguf (the extra
``bench``).
"""

from __future__ import annotations

import argparse
import ctypes
import math
import tempfile
from collections import Counter
from pathlib import Path

import gguf
import llama_cpp
import numpy as np

import trilobite
from trilobite.quant.export import EXPORTERS, export

TYPES = {
    "F16": llama_cpp.LLAMA_FTYPE_MOSTLY_F16, "Q4_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0,
    "Q2_K": llama_cpp.LLAMA_FTYPE_MOSTLY_Q2_K, "TQ2_0": llama_cpp.LLAMA_FTYPE_MOSTLY_TQ2_0,
}
_WINDOW = 512
_SILENT = llama_cpp.llama_log_callback(lambda level, text, data: None)


def quantize(source: Path, target: Path, kind: str) -> None:
    """Write ``target``, the GGUF file ``source`` as llama.cpp stores it in ``kind``."""
    settings = llama_cpp.llama_model_quantize_default_params()
    settings.ftype, settings.nthread = TYPES[kind], 1
    names = str(source).encode(), str(target).encode()
    if llama_cpp.llama_model_quantize(*names, ctypes.byref(settings)):
        raise SystemExit(f"llama.cpp does not quantize {source} to {kind}")


def perplexity(path: Path, tokens: list[int]) -> float:
    """The perplexity of ``tokens`` in windows of 512 that start with an empty context."""
    model = llama_cpp.Llama(
        str(path), n_ctx=_WINDOW, n_batch=_WINDOW, n_ubatch=_WINDOW, n_threads=1,
        logits_all=True, verbose=False,
    )
    total, windows = 0.0, (len(tokens) - 1) // _WINDOW
    for first in range(0, windows * _WINDOW, _WINDOW):
        model.reset()
        model.eval(tokens[first:first + _WINDOW])
        logits = model.scores[:_WINDOW].astype(np.float64)
        wanted = np.array(tokens[first + 1:first + _WINDOW + 1])
        highest = logits.max(axis=1)
        normal = highest + np.log(np.exp(logits - highest[:, None]).sum(axis=1))
        total += (normal - logits[np.arange(_WINDOW), wanted]).sum()
    return math.exp(total / (windows * _WINDOW))


def layers(path: Path) -> tuple[float, str]:
    """Bits per weight of the layers' matrices, and how many of them have which type."""
    matrices = [tensor for tensor in gguf.GGUFReader(path).tensors
                if tensor.name.startswith("blk.") and len(tensor.shape) == 2]
    bits = 8 * sum(int(tensor.n_bytes) for tensor in matrices)
    counts = Counter(tensor.tensor_type.name for tensor in matrices)
    types = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    return bits / sum(int(tensor.n_elements) for tensor in matrices), types


def main() -> None:
    """Print line by line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo-llama")
    parser.add_argument("--types", nargs="+", default=list(TYPES), choices=list(TYPES))
    arguments = parser.parse_args()
    llama_cpp.llama_log_set(_SILENT, ctypes.c_void_p(0))
    tokens = list(trilobite.load(arguments.model).held_out_tokens())
    print("| type | matrices of the layers | bits per linear weight | perplexity |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "f16.gguf"
        export(arguments.model, source, EXPORTERS["gguf"], "f16")
        for kind in arguments.types:
            path = source
            if kind != "F16":
                path = Path(folder) / f"{kind}.gguf"
                quantize(source, path, kind)
            bits, types = layers(path)
            print(f"| {kind} | {types} | {bits:.3f} | {perplexity(path, tokens):.2f} |", flush=True)


if __name__ == "__main__":
    main()
