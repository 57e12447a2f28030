"""How fast a checkpoint of a 7B model's shape is quantized, beside copying the same bytes.

    python benchmarks/large_model.py --layers 4 --folder /tmp/large --measure

writes a Llama-2-7B shape with random BF16 weights (all 32 layers: 13.5 GB, in shards of about
2 GB), quantizes it to INT4 with groups of 128 by ``rtn`` in a process of its own, copies the same
bytes (reads the source, writes as many bytes as the result has, in blocks of 16 MiB, and syncs
them), and prints both rates, the processor's time and the largest resident memory as JSON, for each
of ``--rounds`` rounds. One round that is not counted goes first: a virtual machine whose memory is
filled for the first time waits for its host. ``--folder`` is left with the source alone; without
``--measure`` only that is made.

    python benchmarks/large_model.py --layers 1 --folder /tmp/layer --gptq --sequences 16

quantizes one layer of that shape by GPTQ, all seven matrices, and says what 64 sequences of text
and the 32 layers of the model come to, in seconds of processors.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from trilobite.quant.checkpoint import parse_config
from trilobite.quant.output.manifest import TensorRecord
from trilobite.quant.output.safetensors_writer import SafetensorsWriter, TensorEntry
from trilobite.quant.pipeline import calibrated, quantize
from trilobite.runtime.calibration import CalibrationRun
from trilobite.runtime.calibration_text import SEQUENCES, CalibrationText
from trilobite.tools.progress import Silent

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
    "hidden_size": 4096, "intermediate_size": 11008, "num_attention_heads": 32,
    "num_key_value_heads": 32, "vocab_size": 32000, "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": False,
    "bos_token_id": 1, "eos_token_id": 2,
}
LAYERS = 32
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
    entries = {name: TensorEntry("BF16", shape) for name, shape in shapes.items()}
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
    writer: SafetensorsWriter, name: str, entry: TensorEntry, pool: np.ndarray,
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
    """Seconds, seconds of processors and shares of the copy's rate, by round."""
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


class _Clock(Silent):
    """Seconds of processors and of the clock, matrix by matrix, printed as they are finished."""

    def __init__(self) -> None:
        self.text = 0.0   # of processors, for what grows with the text
        self.layer = 0.0  # of processors, until the last matrix of the layer
        self._began = self._before = time.process_time()
        self._start = time.perf_counter()

    def finished(self, record: TensorRecord) -> None:
        """Say how long it took since the one before."""
        now = time.process_time()
        print(f"{record.name} {now - self._before:.1f} s of processors, "
              f"{time.perf_counter() - self._start:.0f} s since the start", flush=True)
        self._before = now
        if "_proj" in record.name:
            self.layer = now - self._began

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function``, whose time counts as the text's."""
        def call(*arguments: Any) -> Any:
            began = time.process_time()
            try:
                return function(*arguments)
            finally:
                self.text += time.process_time() - began
        return call


def measure_gptq(source: Path, out: Path, sequences: int) -> dict[str, float]:
    """GPTQ to INT4 of the first layer of ``source``, of which it is the only one.

    Tokens are random, in ``sequences`` of 512. What grows with them (running the layer on them,
    and the moments of what its linears read) is counted apart, for the default of 64 sequences.
    """
    tokens = np.random.default_rng(0).integers(0, CONFIG["vocab_size"], (sequences, 512))
    clock = _Clock()
    with (
        mock.patch.object(calibrated, "moments_and_drift",
                          clock.timed(calibrated.moments_and_drift)),
        mock.patch.object(CalibrationRun, "end", clock.timed(CalibrationRun.end)),
    ):
        quantize(source, out, "int4", method="gptq", progress=clock, embedding="keep",
                 calibration=CalibrationText(tokens, "random tokens", 0))
    shutil.rmtree(out)
    text, solving = clock.text, clock.layer - clock.text
    layer = solving + text * SEQUENCES / sequences
    return {"text_seconds": text, "sequences": sequences, "solving_seconds": solving,
            "layer_seconds": layer, "model_hours": LAYERS * layer / 3600}


def main() -> None:
    """Make the checkpoint, and measure if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("build/large"))
    parser.add_argument("--layers", type=int, default=LAYERS)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gptq", action="store_true")
    parser.add_argument("--sequences", type=int, default=SEQUENCES)
    options = parser.parse_args()
    source = options.folder / "source"
    if not source.exists():
        make(source, options.layers)
    if options.gptq:
        seconds = measure_gptq(source, options.folder / "gptq", options.sequences)
        print(json.dumps(seconds, indent=2))
    if options.measure:
        rounds = measure(source, options.folder / "int4", options.rounds)
        print(json.dumps(rounds, indent=2))


if __name__ == "__main__":
    main()
