"""Rates of another runtime, on the same model on this machine."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from ..errors import ToolError, TrilobiteError
from ..runtime.peers import llama_decoder
from ..tools.programs import ask_program, python
from ..tools.scratch import scratch_folder
from .export import export

__all__ = ["PEERS", "PeerRate", "PeerRates", "check_peer", "peer_rates"]

PEERS = ("llama.cpp",)


@dataclass(frozen=True)
class PeerRate:
    """A rate of the peer: decode after, or prefill of, ``tokens`` with so many ``threads``."""

    tokens: int
    threads: int
    tokens_per_second: float
    flash_attention: bool


@dataclass(frozen=True)
class PeerRates:
    """What the peer reached.

    ``version`` is that of its Python binding; ``types`` are the GGUF types of the file that it ran,
    and how many tensors have each; ``warnings`` say where its weights are not the model's.
    """

    peer: str
    version: str
    types: dict[str, int]
    warnings: tuple[str, ...]
    decode: tuple[PeerRate, ...]
    prefill: tuple[PeerRate, ...]


def check_peer(peer: str, model: object) -> None:
    """Raise ``TrilobiteError`` if there is no such peer, it is not installed, or has no model."""
    if peer not in PEERS:
        raise TrilobiteError(f"--peer is {peer!r}; it may be {', '.join(map(repr, PEERS))}")
    if model is None:
        raise TrilobiteError("--peer runs a MODEL, which is exported for it; random weights of a "
                             "--shape are compared by benchmarks/end_to_end.py")
    if not llama_decoder.available():
        raise ToolError("llama.cpp's Python binding is not installed: "
                        "pip install 'trilobite[bench]'")


def peer_rates(
    model: str | Path, vocabulary: int, contexts: Sequence[int], prompts: Sequence[int],
    thread_counts: Sequence[int], steps: int,
) -> PeerRates:
    """Export ``model`` to GGUF and time llama.cpp on it, in a process without Trilobite.

    The types are those that ``export`` takes by itself: they hold the model's own codes where GGUF
    has such a type. Keys and values are float16, llama.cpp's default. Of each rate, the better one
    of flash attention and none counts.

    Raises
    ------
    TrilobiteError
        The model cannot be exported, or llama.cpp does not run it.
    """
    with scratch_folder() as folder:
        file, result = folder / "model.gguf", folder / "rates.json"
        record = export(model, file, "gguf")
        arguments = {
            "path": str(file), "vocabulary": vocabulary, "contexts": list(contexts),
            "prompts": list(prompts), "threads": list(thread_counts), "steps": steps,
            "result": str(result),
        }
        answer = ask_program(python(str(llama_decoder.__file__)), folder,
                             json.dumps(arguments).encode())
        if answer.code != 0:
            lines = answer.errors.decode(errors="replace").strip().splitlines()
            raise ToolError(f"llama.cpp did not run {model}: {lines[-1][:300] if lines else ''}")
        rates = json.loads(result.read_text())
    return PeerRates(
        "llama.cpp", version("llama-cpp-python"),
        dict(Counter(tensor.type for tensor in record.tensors)), record.warnings,
        tuple(_rate(item, "context") for item in rates["decode"]),
        tuple(_rate(item, "tokens") for item in rates["prefill"]))


def _rate(item: dict[str, float], length: str) -> PeerRate:
    return PeerRate(int(item[length]), int(item["threads"]), item["tokens_per_second"],
                    bool(item["flash_attention"]))
