"""Load a model, and what can be done with a loaded one: generate, evaluate, calibrate its keys."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from ..errors import TrilobiteError
from ..quant.checkpoint import Checkpoint, open_checkpoint
from ..quant.output.atomic import OutputFile
from ..runtime.calibration_text import SEQUENCES, CalibrationText, choose_text
from ..runtime.compiling import when_compiling
from ..runtime.decoder import Decoder
from ..runtime.kv_cache.cache import KVKind, make_cache
from ..runtime.kv_cache.key_scales import KeyRecorder, key_factors, read_factors, write_factors
from ..runtime.language_model import LanguageModel
from ..runtime.text import read_text
from ..tools.progress import SILENT, Progress

__all__ = [
    "Evaluation", "GenerationResult", "KVCalibration", "calibrate_kv", "calibration", "evaluate",
    "generate", "load",
]


@dataclass(frozen=True)
class GenerationResult:
    """What a model wrote.

    Attributes
    ----------
    text
        The continuation alone, without the prompt; bytes that are no UTF-8 are U+FFFD.
    tokens, prompt_tokens
        Token ids of the continuation, an end token included, and of the prompt.
    prefill_seconds, decode_seconds
        Wall-clock seconds up to the logits of the first token, and of the tokens after it.
    cache_bytes
        Memory that keys and values took.
    """

    text: str
    tokens: tuple[int, ...]
    prompt_tokens: tuple[int, ...]
    prefill_seconds: float
    decode_seconds: float
    cache_bytes: int

    @property
    def prefill_rate(self) -> float:
        """Prompt tokens per second."""
        return len(self.prompt_tokens) / self.prefill_seconds

    @property
    def decode_rate(self) -> float | None:
        """Tokens per second after the first one; None if there are none."""
        count = len(self.tokens) - 1
        return count / self.decode_seconds if count > 0 else None


@dataclass(frozen=True)
class Evaluation:
    """``perplexity`` over ``tokens`` predicted tokens, with keys and values kept as ``kv``."""

    perplexity: float
    tokens: int
    kv: KVKind


@dataclass(frozen=True)
class KVCalibration:
    """Static scales of key channels in ``file``, measured on ``tokens`` tokens of ``source``."""

    file: Path
    source: str
    tokens: int


def load(
    path: str | Path, kv: KVKind | Literal["auto"] = "auto", progress: Progress = SILENT,
    kv_scales: str | Path | None = None, mmap: bool = True,
) -> LanguageModel:
    """Load a checkpoint folder, quantized or not.

    Threads may share the model, and load models at the same time: see ``LanguageModel``.

    Parameters
    ----------
    path
        A folder with config.json and safetensors, a GGUF file, or ``demo-bitnet`` or
        ``demo-llama``.
    kv
        How keys and values are cached: ``int8``, ``int4``, ``fp8``, ``float32``; ``auto`` takes
        int8 for a model that ``trilobite.quantize`` wrote and float32 for any other.
    progress
        Is told how many tensors are loaded, and which.
    kv_scales
        A file of ``calibrate_kv``: static scales of key channels.
    mmap
        Use weights that kernels read in the stored order where the file is mapped. It must not
        shrink or change as long as the model is used; False copies them. Of a mixture of experts,
        an expert is read when a token first goes to it; False reads all of them now.

    Raises
    ------
    CheckpointError
        The folder is not a checkpoint that is understood in every part.
    """
    if kv not in ("auto", *get_args(KVKind)):
        known = ", ".join(("auto", *get_args(KVKind)))
        raise TrilobiteError(f"KV cache kind {kv!r} is unknown; known are {known}")
    with ExitStack() as stack:
        checkpoint = stack.enter_context(open_checkpoint(path, mmap))
        if kv == "auto":
            kv = "float32" if checkpoint.quantization is None else "int8"
        factors = None if kv_scales is None else read_factors(Path(kv_scales), checkpoint.config)
        decoder = Decoder(checkpoint.config, checkpoint.weight, progress)
        if checkpoint.config.experts and mmap:   # they are read when they are first used
            weakref.finalize(decoder, stack.pop_all().close).atexit = False
        else:
            decoder.load_experts()
        return LanguageModel(checkpoint.folder, decoder, kv, _files(checkpoint), factors)


def generate(
    model: LanguageModel | str | Path, prompt: str | Sequence[int], max_new_tokens: int = 64,
    temperature: float = 0.0, top_k: int = 0, top_p: float = 1.0, seed: int = 0,
    progress: Progress = SILENT, min_p: float = 0.0, repetition_penalty: float = 1.0,
    stop: Sequence[str] = (),
) -> GenerationResult:
    """Continue ``prompt`` until an end token or a stop string, or for ``max_new_tokens``.

    ``LanguageModel.generate`` gives the pieces to iterate over instead.

    Parameters
    ----------
    model
        A loaded model, or what ``load`` takes.
    prompt
        Text, or token ids.
    max_new_tokens
        At least 1; prompt and new tokens together have to fit the model's positions.
    temperature
        0 is greedy.
    top_k, top_p
        Keep the ``top_k`` most probable tokens (0: all), and of these ``top_p`` of the
        probability (1: all).
    seed
        Same seed, same text.
    progress
        Counts tokens; each piece of text is finished as soon as it is known.
    min_p
        Keep tokens that are at least so many times as probable as the most probable one (0: all).
    repetition_penalty
        Above 1, tokens that prompt or text have already get less probable.
    stop
        Strings before which the text ends.

    Raises
    ------
    TrilobiteError
        As ``load`` does; a number is out of range; there is not enough memory for keys and values;
        the logits are not finite.
    """
    with when_compiling(progress):
        generation = _loaded(model).generate(
            prompt, max_new_tokens, temperature, top_k, top_p, seed, min_p, repetition_penalty, stop
        )
        progress.start(max_new_tokens)
        pieces, done = [], 0
        for piece in generation:
            pieces.append(piece)
            progress.finished(piece)
            progress.advance(len(generation.tokens) - done)
            done = len(generation.tokens)
    return GenerationResult(
        "".join(pieces), tuple(generation.tokens), tuple(generation.prompt_tokens),
        generation.prefill_seconds, generation.decode_seconds, generation.cache_nbytes,
    )


def evaluate(
    model: LanguageModel | str | Path, text: str | Path | None = None, tokens: int | None = None,
    progress: Progress = SILENT,
) -> Evaluation:
    """Measure perplexity in windows of 512 tokens.

    Parameters
    ----------
    model
        A loaded model, or what ``load`` takes.
    text
        A UTF-8 text file; None takes the modules that the model's training.json holds out.
    tokens
        Use only the first so many tokens of it, at least 2; None uses all.
    progress
        Counts tokens.

    Raises
    ------
    TrilobiteError
        As ``load`` does; there is no such text, or too little of it; the logits are not finite.
    """
    if tokens is not None and tokens < 2:
        raise TrilobiteError(f"A perplexity needs at least 2 tokens, not {tokens}")
    model = _loaded(model)
    ids = (model.held_out_tokens() if text is None
           else model.tokenizer.encode(read_text(Path(text))))
    measured = model.perplexity_of_tokens(ids[:tokens], progress=progress)
    return Evaluation(measured.value, measured.tokens, model.kv)


def calibrate_kv(
    path: str | Path, out: str | Path, text: CalibrationText, progress: Progress = SILENT
) -> KVCalibration:
    """Write static scales of a model's key channels, measured on ``text``, to the file ``out``.

    A safetensors file for ``load(..., kv_scales=out)``; see ``runtime.kv_cache.key_scales`` for the
    rule. The keys are those that the model computes with an int8 cache, or float32 if it is not
    quantized. ``progress`` counts tokens.

    Raises
    ------
    CheckpointError
        As ``load`` does.
    OutputError
        ``out`` exists or cannot be written; nothing is left behind.
    """
    model = load(path)
    config = model.config
    recorder = KeyRecorder(config, make_cache(model.kv, config, text.sequences.shape[1]))
    cache = model.decoder.unbiased(recorder, model.kv)
    room = 8 * config.num_layers * config.num_kv_heads * config.head_dim
    with OutputFile(Path(out), None, room, overwrite=False) as output:
        progress.start(text.tokens)
        for sequence in text.sequences:
            model.decoder.hidden(sequence, cache, 0)
            progress.advance(len(sequence))
        write_factors(output.path, key_factors(recorder), there=True)
        output.commit()
    return KVCalibration(Path(out), text.source, text.tokens)


def calibration(
    source: str | Path, text: str | Path | None = None, sequences: int = SEQUENCES, seed: int = 0
) -> CalibrationText:
    """Text for the methods of ``quantize`` that calibrate: the same arguments, the same text.

    Parameters
    ----------
    source
        The checkpoint that will be quantized; its tokenizer is used.
    text
        A UTF-8 text file; None takes what the model's training.json names: for the demo models
        modules of Python's standard library that are not held out.
    sequences
        How many pieces of 512 tokens.
    seed
        Which pieces of the text.

    Raises
    ------
    TrilobiteError
        There is no such text, or too little of it.
    """
    with open_checkpoint(source) as checkpoint:
        file = None if text is None else Path(text)
        files = _files(checkpoint)
        return choose_text(
            checkpoint.folder, checkpoint.config, file, sequences, seed, files and files()
        )


def _loaded(model: LanguageModel | str | Path) -> LanguageModel:
    return model if isinstance(model, LanguageModel) else load(model)


def _files(checkpoint: Checkpoint) -> Callable[[], dict[str, bytes]] | None:
    """What gives the tokenizer's files, where they are not in a folder."""
    return None if checkpoint.folder.is_dir() else checkpoint.companions
