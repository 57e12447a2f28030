"""Times decoding and prefill of random weights of real models' shapes, beside llama.cpp's.

Each contender has a process of its own, one after the other in every round: ``trilobite bench`` on
packed random weights, then llama.cpp, by the binding llama-cpp-python, on a GGUF file of the same
shape with random weights, written for the run. llama.cpp computes a Llama model of the shape,
without the norms that BitNet has inside its linears; its keys and values are float16, its embedding
and head Q6_K, and the better one of flash attention and none counts. A number is the median over
the rounds, a ratio the median of the rounds' ratios.

    python benchmarks/end_to_end.py --models bitnet-0.73b --threads 1,2 --json out.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

import random_gguf
from machine import machine
from matmul import written
from remote import without_waiting_policy

from trilobite.runtime.peers import llama_decoder
from trilobite.sim.descriptions.shapes import load_shape

MODELS = ("bitnet-0.73b", "bitnet-2b", "llama-2-7b")
# Options of ``trilobite bench``, and llama.cpp's type.
TYPES = {
    "ternary16": (("--format", "ternary,packing=base3"), "TQ2_0"),
    "ternary2": (("--format", "ternary,packing=2bit"), "TQ2_0"),
    "int4": (("--format", "int4,group_size=32"), "Q4_0"),
    "int4g128": (("--format", "int4,group_size=128"), "Q4_0"),
}
STAGES = {"decode": "context", "prefill": "tokens"}   # with the name of their length in results


@dataclass(frozen=True)
class Rate:
    """Tokens per second of a stage, decode after or prefill of ``tokens``, and llama.cpp's.

    ``ratio`` is the median over the rounds; without llama.cpp both are None.
    """

    model: str
    kind: str
    stage: str
    tokens: int
    threads: int
    tokens_per_second: float
    llama_type: str
    llama_tokens_per_second: float | None
    ratio: float | None


def own(model: str, kind: str, arguments: argparse.Namespace, folder: Path) -> dict:
    """What ``trilobite bench`` writes."""
    path = folder / "own.json"
    command = [
        sys.executable, "-m", "trilobite", "bench", "--shape", model, *TYPES[kind][0],
        "--context", arguments.context, "--prompt", arguments.prompt,
        "--threads", arguments.threads, "--steps", str(arguments.steps), "--json", str(path),
    ]
    subprocess.run(command, check=True)
    return json.loads(path.read_text())


def llama(model: str, gguf: Path, arguments: argparse.Namespace, folder: Path) -> dict:
    """What ``llama_decoder.measure`` gives."""
    path = folder / "llama.json"
    numbers = {
        name: [int(word) for word in getattr(arguments, option).split(",") if word]
        for name, option in (("contexts", "context"), ("prompts", "prompt"), ("threads", "threads"))
    }
    given = numbers | {
        "path": str(gguf), "vocabulary": load_shape(model).config.vocab_size,
        "steps": arguments.steps, "result": str(path),
    }
    subprocess.run(
        [sys.executable, llama_decoder.__file__], input=json.dumps(given), text=True, check=True,
        env=without_waiting_policy(),
    )
    return json.loads(path.read_text())


def shape_of(model: str) -> random_gguf.Shape:
    """The shape that llama.cpp computes."""
    config = load_shape(model).config
    return random_gguf.Shape(
        config.num_layers, config.hidden_size, config.intermediate_size, config.num_heads,
        config.num_kv_heads, config.head_dim, config.vocab_size, config.rope_theta,
        config.tie_word_embeddings,
    )


def compare(model: str, kind: str, arguments: argparse.Namespace) -> Iterator[tuple[dict, dict]]:
    """Results of a round, Trilobite's and llama.cpp's; the latter is empty where it is no peer."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        gguf = (arguments.folder or folder) / f"{_file_name(model)}-{TYPES[kind][1]}.gguf"
        if arguments.peer and not gguf.exists():
            random_gguf.write(gguf, shape_of(model), TYPES[kind][1])
        for _ in range(arguments.rounds):
            theirs = llama(model, gguf, arguments, folder) if arguments.peer else {}
            yield own(model, kind, arguments, folder), theirs


def _file_name(model: str) -> str:
    """A shape's name, or that of its file without .toml; a dot in it stays."""
    return Path(model).name.removesuffix(".toml")


def rates(model: str, kind: str, rounds: list[tuple[dict, dict]]) -> Iterator[Rate]:
    """The medians of a model's rounds."""
    for stage, length in STAGES.items():
        for item in rounds[0][0][stage]:
            place = item[length], item["threads"]
            ours, theirs = (
                [_rate(results[side], stage, place) for results in rounds] for side in (0, 1)
            )
            peer = None not in theirs
            ratios = [a / b for a, b in zip(ours, theirs, strict=True)] if peer else []
            yield Rate(
                model, kind, stage, *place, statistics.median(ours), TYPES[kind][1],
                statistics.median(theirs) if peer else None,
                statistics.median(ratios) if peer else None,
            )


def _rate(result: dict, stage: str, place: tuple[int, int]) -> float | None:
    for item in result.get(stage, []):
        if (item[STAGES[stage]], item["threads"]) == place:
            return item["tokens_per_second"]
    return None


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Measure everything, printing as it goes."""
    found, loaded = [], []
    for model in arguments.models.split(","):
        for kind in arguments.types.split(","):
            rounds = list(compare(model, kind, arguments))
            facts = {
                name: value for name, value in rounds[0][0].items() if name not in STAGES
            }
            loaded.append(facts | {"model": model, "kind": kind})
            for rate in rates(model, kind, rounds):
                found.append(rate)
                theirs = "" if rate.ratio is None else (
                    f"{rate.llama_tokens_per_second:>9.1f} {rate.llama_type}{rate.ratio:>7.2f}"
                )
                print(f"{model:<14}{kind:<10}{rate.stage:<8}{rate.tokens:>5}{rate.threads:>3}"
                      f"{rate.tokens_per_second:>9.1f}{theirs}", flush=True)
    return {"machine": machine(), "models": loaded, "rates": [asdict(rate) for rate in found]}


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", default=",".join(MODELS), help="shapes, comma-separated")
    parser.add_argument("--types", default="ternary16,int4", help="comma-separated")
    parser.add_argument("--context", default="128,1024", help="tokens before a decode step")
    parser.add_argument("--prompt", default="128,512", help="tokens of a prefill")
    parser.add_argument("--threads", default="1,2", help="comma-separated")
    parser.add_argument("--steps", type=int, default=16, help="decode steps to take the median of")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--peer", choices=("llama.cpp", "none"), default="llama.cpp")
    parser.add_argument("--folder", type=Path, help="where GGUF files stay, to be used again")
    parser.add_argument("--json", type=Path, help="also write the machine and the rates here")
    arguments = parser.parse_args()
    unknown = set(arguments.types.split(",")) - set(TYPES)
    if unknown:
        parser.error(f"no such type: {', '.join(sorted(unknown))}; there are {', '.join(TYPES)}")
    for name, folder in (("--folder", arguments.folder),
                         ("--json", arguments.json and arguments.json.parent)):
        if folder is not None and not folder.is_dir():
            parser.error(f"{name}: there is no folder {folder}")
    arguments.peer = arguments.peer != "none"
    if arguments.peer and not (llama_decoder.available() and find_spec("gguf")):
        parser.error("llama-cpp-python and gguf are not installed: pip install -e '.[bench]', "
                     "or --peer none")
    return arguments


def main() -> None:
    """Measure, print, and write JSON if asked."""
    arguments = parse()
    result = run(arguments)
    if arguments.json:
        arguments.json.write_text(written(result))


if __name__ == "__main__":
    main()
