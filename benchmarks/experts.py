"""Times a mixture of experts of OLMoE's shape (64 experts, 8 for a token), random, in INT4.

The model lies in a folder as ``trilobite quantize`` writes it, so that experts are read from the
mapped file when a token first goes to them. Beside it llama.cpp, by llama-cpp-python, on a GGUF
file of the same shape in Q4_0, with keys and values in float16. Each contender has a process of its
own for each number of threads. Random routers spread tokens evenly over the experts, which is the
worst that can happen to a cache.

    python benchmarks/experts.py --folder scratch --layers 16 --threads 1,2 --json out.json

The folder keeps both files (4 GB each with 16 layers) for the next run.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import random_gguf
from machine import machine
from remote import without_waiting_policy

from trilobite.model import Experts, ModelConfig
from trilobite.quant.formats import Format, Int4, Int8
from trilobite.quant.output.safetensors_writer import SafetensorsWriter, TensorEntry
from trilobite.runtime.peers import llama_decoder

_FORM = Int4(32)
_DRAWN_ROWS = 256   # a weight is a random choice of them
_WINDOW = 512


def olmoe(layers: int) -> ModelConfig:
    """allenai/OLMoE-1B-7B-0924, with as many ``layers`` as are asked for; it has 16."""
    return ModelConfig(
        family="olmoe", hidden_size=2048, intermediate_size=1024, num_layers=layers, num_heads=16,
        num_kv_heads=16, head_dim=128, vocab_size=50304, max_position_embeddings=4096,
        rms_norm_eps=1e-5, rope_theta=1e4, qk_norm=True, qk_norm_whole=True,
        experts=Experts(count=64, chosen=8, intermediate_size=1024, normalized=False),
    )


def write_folder(folder: Path, config: ModelConfig) -> None:
    """Write random weights, one by one."""
    rng = np.random.default_rng(0)
    linears = set(config.linear_weights())
    shapes = config.tensor_shapes()
    forms: dict[str, Format] = {
        name: _FORM if name in linears else Int8() for name, shape in shapes.items()
        if len(shape) == 2 and not name.endswith(".mlp.gate.weight")
    }
    entries: dict[str, TensorEntry] = {}
    for name, shape in shapes.items():
        if name in forms:
            layout = forms[name].layout(shape)
            entries |= {f"{name}_{suffix}": TensorEntry.of(part.dtype, part.shape)
                        for suffix, part in layout.items()}
        else:
            entries[name] = TensorEntry("F32", shape)
    folder.mkdir(parents=True)
    drawn = {}
    with SafetensorsWriter(folder / "model.safetensors", entries) as writer:
        for name, shape in shapes.items():
            if name not in forms:
                gain = 1.0 if len(shape) == 1 else 0.0
                writer.append(name, np.float32(gain) + np.float32(0.1 if gain else 0.02)
                              * rng.standard_normal(shape, np.float32))
                continue
            key = forms[name], shape[1]
            if key not in drawn:
                rows = rng.standard_normal((_DRAWN_ROWS, shape[1]), np.float32)
                drawn[key] = forms[name].quantize(rows / np.float32(shape[1] ** 0.5)).tensors
            chosen = rng.integers(0, _DRAWN_ROWS, shape[0])
            for suffix, part in drawn[key].items():
                writer.append(f"{name}_{suffix}", part[chosen])
    assert config.experts is not None
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["OlmoeForCausalLM"], "model_type": "olmoe",
        "hidden_size": config.hidden_size, "intermediate_size": config.experts.intermediate_size,
        "num_hidden_layers": config.num_layers, "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads, "vocab_size": config.vocab_size,
        "max_position_embeddings": config.max_position_embeddings, "rms_norm_eps": 1e-5,
        "num_experts": config.experts.count, "num_experts_per_tok": config.experts.chosen,
        "quantization_config": {
            "quant_method": "trilobite", "version": 1, "format": _FORM.name,
            "tensors": {name: form.spec() for name, form in forms.items()},
        },
    }))


def _resident() -> dict[str, int]:
    """Bytes of this process's memory: all, and what is not a file's."""
    pages = Path("/proc/self/statm").read_text().split()
    size = resource.getpagesize()
    return {"resident": int(pages[1]) * size, "anonymous": (int(pages[1]) - int(pages[2])) * size}


def own(folder: str, prompts: list[int], context: int, steps: int) -> dict:
    """Rates and memory of this process's threads."""
    import trilobite

    began = time.perf_counter()
    model = trilobite.load(folder)
    result: dict = {"load_seconds": time.perf_counter() - began, "after_load": _resident()}
    model.warm_up()
    rng = np.random.default_rng(0)
    ids = rng.integers(0, model.config.vocab_size, max(*prompts, context) + steps + 2).tolist()
    result["prefill"] = []
    for tokens in prompts:
        seconds = []
        for _ in range(3):
            session = model.session(tokens)
            began = time.perf_counter()
            session.prefill(ids[:tokens])
            seconds.append(time.perf_counter() - began)
        result["prefill"].append({
            "tokens": tokens, "first": tokens / seconds[0],
            "tokens_per_second": tokens / statistics.median(seconds[1:]),
        })
    session = model.session(context + steps + 2)
    session.prefill(ids[:context])
    times = []
    for token in ids[context:context + steps + 2]:
        began = time.perf_counter()
        session.feed([token])
        times.append(time.perf_counter() - began)
    result["decode"] = [{"context": context,
                         "tokens_per_second": 1 / statistics.median(times[2:])}]
    result["after_decode"] = _resident()
    loaded = [len(layer.experts.loaded) for layer in model.decoder.layers]
    result["experts_loaded"] = sum(loaded) / len(loaded)
    return result


def _ours(arguments: argparse.Namespace, folder: Path, threads: int) -> dict:
    given = [str(folder), arguments.prompt, str(arguments.context), str(arguments.steps)]
    command = [sys.executable, __file__, "--own", *given]
    environment = os.environ | {"NUMBA_NUM_THREADS": str(threads)}
    done = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def _llama(arguments: argparse.Namespace, gguf: Path, config: ModelConfig) -> dict:
    out = gguf.with_suffix(".json")
    given = {
        "path": str(gguf), "vocabulary": config.vocab_size, "contexts": [arguments.context],
        "prompts": [int(word) for word in arguments.prompt.split(",")],
        "threads": arguments.numbers, "steps": arguments.steps, "result": str(out),
    }
    subprocess.run([sys.executable, llama_decoder.__file__], input=json.dumps(given), text=True,
                   check=True, env=without_waiting_policy())
    return json.loads(out.read_text())


def main() -> None:
    """Write what is missing, time, print and write JSON."""
    if sys.argv[1:2] == ["--own"]:
        folder, prompts, context, steps = sys.argv[2:]
        numbers = [int(word) for word in prompts.split(",")]
        print(json.dumps(own(folder, numbers, int(context), int(steps))))
        return
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--folder", type=Path, required=True, help="For the two models' files.")
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--prompt", default="128,512")
    parser.add_argument("--context", type=int, default=128)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    arguments.numbers = [int(word) for word in arguments.threads.split(",")]
    config = olmoe(arguments.layers)
    folder = arguments.folder / f"olmoe-{arguments.layers}"
    if not folder.exists():
        write_folder(folder, config)
    result: dict = {"machine": machine(), "layers": arguments.layers, "format": str(_FORM),
                    "own": {}, "llama": None}
    for threads in arguments.numbers:
        result["own"][threads] = _ours(arguments, folder, threads)
        print(threads, json.dumps(result["own"][threads]), flush=True)
    if llama_decoder.available():
        gguf = arguments.folder / f"olmoe-{arguments.layers}.gguf"
        if not gguf.exists():
            random_gguf.write(gguf, random_gguf.olmoe(arguments.layers), "Q4_0")
        result["llama"] = _llama(arguments, gguf, config)
        print(json.dumps(result["llama"]))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
