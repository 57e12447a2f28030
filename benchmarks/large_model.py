"""How fast a checkpoint of a 7B model's shape is quantized, beside copying the same bytes.

    python benchmarks/large_model.py --layers 4 --folder /tmp/large --measure

writes a Llama-2-7B shape with random BF16 weights (all 32 layers: 13.5 GB, in shards of about
2 GB), quantizes it to INT4 with groups of 128 by ``rtn`` in a process of its own, copies the same
bytes (reads the source, writes as many bytes as the result has, in blocks of 16 MiB, and syncs
them), and prints both rates, the processor's time and the largest resident memory as JSON, for each
of ``--rounds`` rounds. One round that is not counted goes first: a virtual machine whose memory is
filled for the first time waits for its host. ``--folder`` is left with the source alone; without
``--measure`` only that is made.

    python benchmarks/large_model.py --gptq

times GPTQ of one 4096 x 4096 matrix of that shape, and says what a layer and the model come to: the
work on a matrix grows with M K^2, that on a token with K^2 for each of the four inputs of a layer.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from trilobite.quant.checkpoint import parse_config
from trilobite.quant.formats import Int4
from trilobite.quant.methods.calibration import corrected, moments_and_drift
from trilobite.quant.methods.gptq import gptq
from trilobite.quant.writer import SafetensorsWriter, StoredTensor

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
    "hidden_size": 4096, "intermediate_size": 11008, "num_attention_heads": 32,
    "num_key_value_heads": 32, "vocab_size": 32000, "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": False,
    "bos_token_id": 1, "eos_token_id": 2,
}
SHARD_BYTES = 2_000_000_000
BLOCK = 16 << 20

QUANTIZE = """
import sys, time
from pathlib import Path
from trilobite.quant.pipeline import quantize
began = time.perf_counter()
quantize(sys.argv[1], sys.argv[2], "int4")
seconds = time.perf_counter() - began
status = Path("/proc/self/status").read_text()
peak = 1024 * int(status.partition("VmHWM:")[2].split()[0])
print(seconds, time.process_time(), peak)
"""


def make(folder: Path, layers: int, seed: int = 0) -> None:
    """Write the checkpoint: normally distributed weights of deviation 0.02.

    Every 16 MiB are from a random place in 64 MiB that are drawn once: to draw all takes minutes.
    """
    folder.mkdir(parents=True)
    config = {**CONFIG, "num_hidden_layers": layers}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    shapes = parse_config(config, folder / "config.json").tensor_shapes()
    entries = {name: StoredTensor("BF16", shape) for name, shape in shapes.items()}
    shards: list[list[str]] = [[]]
    for name, entry in entries.items():
        if sum(entries[one].nbytes for one in shards[-1]) + entry.nbytes > SHARD_BYTES:
            shards.append([])
        shards[-1].append(name)
    rng = np.random.default_rng(seed)
    pool = ((0.02 * rng.standard_normal(2 * BLOCK, np.float32)).view(np.uint32) >> 16).astype("<u2")
    weight_map = {}
    for index, names in enumerate(shards):
        shard = f"model-{index + 1:05}-of-{len(shards):05}.safetensors"
        weight_map |= dict.fromkeys(names, shard)
        with SafetensorsWriter(folder / shard, {name: entries[name] for name in names}) as writer:
            for name in names:
                _fill(writer, name, entries[name], pool, rng)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def _fill(
    writer: SafetensorsWriter, name: str, entry: StoredTensor, pool: np.ndarray,
    rng: np.random.Generator,
) -> None:
    left = entry.nbytes // 2
    while left:
        count = min(left, BLOCK // 2)
        begin = rng.integers(len(pool) - count + 1)
        writer.append(name, pool[begin : begin + count])
        left -= count


def copy(source: Path, target: Path, written: int) -> float:
    """Seconds to read the safetensors of ``source`` and write ``written`` bytes of them, synced."""
    began = time.perf_counter()
    with target.open("wb", buffering=0) as out:
        for path in sorted(source.glob("*.safetensors")):
            with path.open("rb", buffering=0) as file:
                while block := file.read(BLOCK):
                    part = block[:written]
                    out.write(part)
                    written -= len(part)
        os.fsync(out.fileno())
    return time.perf_counter() - began


def drop_cache(source: Path) -> None:
    """Let the operating system forget the files, so that both runs read the disk."""
    for path in source.glob("*.safetensors"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(source: Path, out: Path, rounds: int) -> list[dict[str, float]]:
    """Of each round: seconds, seconds of processors, and shares of the copy's rate."""
    size = sum(path.stat().st_size for path in source.glob("*.safetensors"))
    measured = []
    written = _quantize(source, out)[-1]
    _timed_copy(source, out.with_name("copied"), written)
    for _ in range(rounds):
        seconds, processor, peak, written = _quantize(source, out)
        copied, copy_processor = _timed_copy(source, out.with_name("copied"), written)
        measured.append({
            "source_bytes": size, "written_bytes": written,
            "quantize_seconds": seconds, "quantize_processor_seconds": processor,
            "copy_seconds": copied, "copy_processor_seconds": copy_processor,
            "quantize_bytes_per_second": size / seconds, "copy_bytes_per_second": size / copied,
            "share_of_copy": copied / seconds, "peak_resident_bytes": peak,
        })
    return measured


def _quantize(source: Path, out: Path) -> tuple[float, float, float, int]:
    """Seconds, those of processors, the peak of resident memory, and the bytes written."""
    drop_cache(source)
    run = subprocess.run(
        [sys.executable, "-c", QUANTIZE, str(source), str(out)], check=True, capture_output=True,
        text=True,
    )
    seconds, processor, peak = map(float, run.stdout.split())
    written = (out / "model.safetensors").stat().st_size
    shutil.rmtree(out)
    return seconds, processor, peak, written


def _timed_copy(source: Path, target: Path, written: int) -> tuple[float, float]:
    """Seconds of ``copy``, and those of processors."""
    drop_cache(source)
    began = time.process_time()
    seconds = copy(source, target, written)
    target.unlink()
    return seconds, time.process_time() - began


def measure_gptq(tokens: int = 2048, calibration_tokens: int = 64 * 512) -> dict[str, float]:
    """Seconds of GPTQ of q, and of the moments of ``tokens`` inputs; a layer and a model from them.

    Not in it: the forward passes of the calibration text, and reading.
    """
    K, wide = CONFIG["hidden_size"], CONFIG["intermediate_size"]
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((2, tokens // 2, K), np.float32)
    inputs *= np.exp(rng.standard_normal(K, np.float32))   # columns of very different power
    weight = 0.02 * rng.standard_normal((K, K), np.float32)
    began = time.perf_counter()
    moments, drift = moments_and_drift(inputs, inputs[::-1], K)
    read = time.perf_counter()
    gptq(corrected(weight, moments, drift), moments, Int4())
    matrix = time.perf_counter() - read
    matrices = (4 * K**3 + 2 * wide * K**2 + K * wide**2) / K**3
    inputs_of_layer = (3 * K**2 + wide**2) / K**2
    layer = matrices * matrix + (
        inputs_of_layer * (read - began) * calibration_tokens / tokens
    )
    return {"moments_seconds": read - began, "matrix_seconds": matrix, "layer_seconds": layer,
            "model_hours": 32 * layer / 3600}


def main() -> None:
    """Make the checkpoint, and measure if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("build/large"))
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gptq", action="store_true")
    options = parser.parse_args()
    if options.gptq:
        print(json.dumps(measure_gptq(), indent=2))
        return
    source = options.folder / "source"
    if not source.exists():
        make(source, options.layers)
    if options.measure:
        rounds = measure(source, options.folder / "int4", options.rounds)
        print(json.dumps(rounds, indent=2))


if __name__ == "__main__":
    main()
