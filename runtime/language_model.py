"""A loaded model as its user sees it: text in, text, logits and perplexity out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np

from ..errors import TrilobiteError
from ..model import LINEAR_NAMES, ModelConfig
from ..tools.progress import SILENT, Progress
from .compiling import when_compiling
from .decoder import Decoder, Observer
from .kernels.base import IntegerLinear
from .kv_cache.cache import KVKind, make_cache
from .kv_cache.key_scales import ScaledKeys
from .sampling import Sampler, Sampling
from .stop_strings import StopStrings
from .text import Tokenizer, held_out_documents
from .watched import first_not_finite

__all__ = ["Generation", "LanguageModel", "LinearTrace", "Perplexity", "Session"]

# A prompt is fed in pieces of this many tokens, which bounds the memory that a prefill takes.
_CHUNK = 512
_WINDOW = 512


@dataclass(frozen=True)
class LinearTrace:
    """What went through one integer linear of one forward pass.

    ``activations`` int8 [N, K] (int32 for int4-fp8); ``sums`` the exact integers [N, M] before any
    scaling.
    """

    name: str
    activations: np.ndarray
    sums: np.ndarray


@dataclass(frozen=True)
class Perplexity:
    """``value`` = exp of the mean negative log-likelihood over ``tokens`` predicted tokens."""

    value: float
    tokens: int


class Session:
    """A sequence being fed to the model: its KV cache and how far it is.

    Sessions of one model may be fed by as many threads at the same time; a single one by a single
    thread at a time.
    """

    def __init__(
        self, decoder: Decoder, kv: KVKind, capacity: int, key_factors: np.ndarray | None = None
    ) -> None:
        limit = decoder.config.max_position_embeddings
        if capacity > limit:
            raise TrilobiteError(
                f"{capacity} tokens are asked for, but the model was made for at most {limit} "
                "positions (max_position_embeddings)"
            )
        self.capacity = capacity
        self._decoder = decoder
        cache = make_cache(kv, decoder.config, capacity)
        if key_factors is not None:
            cache = ScaledKeys(cache, key_factors)
        self.cache = decoder.unbiased(cache, kv)
        self.position = 0
        self._fed: list[int] = []   # what stands at the positions before, and maybe more
        self._length = 0            # of the sequence for which the keys were turned
        self._turn = Lock()

    def feed(self, token_ids: Sequence[int], observe: Observer | None = None) -> np.ndarray:
        """Append tokens; float32 logits [N, vocab_size], row n predicting what follows token n.

        Raises
        ------
        TrilobiteError
            A token is none of the vocabulary, the cache is full, another thread is feeding this
            session, or the logits are not finite: then it says in which layer that began.
        """
        with self.alone():
            return self._logits(self._feed(token_ids, observe), token_ids)

    def prefill(self, token_ids: Sequence[int]) -> np.ndarray:
        """Append tokens; float32 logits [vocab_size] of the last one only. Raises as ``feed``."""
        with self.alone():
            for begin in range(0, len(token_ids), _CHUNK):
                chunk = token_ids[begin:begin + _CHUNK]
                hidden = self._feed(chunk, None)
            return self._logits(hidden[-1:], chunk)[0]

    def _logits(self, hidden: np.ndarray, token_ids: Sequence[int]) -> np.ndarray:
        """The logits of ``hidden``, which the last ``token_ids`` gave."""
        logits = self._decoder.logits(hidden)
        if not np.isfinite(logits).all():
            start = self.position - len(token_ids)
            ids = np.asarray(token_ids, np.int64)
            raise TrilobiteError(first_not_finite(self._decoder, self.cache, ids, start))
        return logits

    def _feed(self, token_ids: Sequence[int], observe: Observer | None) -> np.ndarray:
        ids = _checked_ids(token_ids, self._decoder.config.vocab_size)
        self.prepare(len(ids))
        hidden = self._decoder.hidden(ids, self.cache, self.position, observe)
        self.advance(ids.tolist())
        return hidden

    def prepare(self, count: int) -> None:
        """Before ``count`` tokens are fed: feed what there is once more, if all keys must be turned
        in another way in a sequence that is so long, or short again.
        """
        length = self.position + count
        if self._decoder.rope.turns_again(self._length, length):
            for begin in range(0, self.position, _CHUNK):
                ids = np.array(self._fed[begin:min(begin + _CHUNK, self.position)], np.int64)
                self._decoder.hidden(ids, self.cache, begin, length=length)
        self._length = length

    def advance(self, ids: Sequence[int]) -> None:
        """Count ``ids`` as fed: the decoder has put them into the cache."""
        self._fed[self.position:] = ids
        self.position += len(ids)

    def skip_to(self, position: int) -> None:
        """Go on at ``position`` as if tokens 0 had been fed: to time steps of a long context."""
        self._fed[self.position:] = [0] * (position - self.position)
        self.position = position

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the session while the block runs; raise ``TrilobiteError`` if another one does."""
        if not self._turn.acquire(blocking=False):
            raise TrilobiteError(
                "This session is being fed by another thread; give each thread a session of its "
                "own (model.session or model.generate)"
            )
        try:
            yield
        finally:
            self._turn.release()


def _checked_ids(token_ids: Sequence[int], vocab_size: int) -> np.ndarray:
    ids = np.asarray(token_ids)
    if ids.ndim != 1 or ids.size == 0 or not np.issubdtype(ids.dtype, np.integer):
        raise TrilobiteError("Token ids must be a non-empty list of integers")
    if ids.min() < 0 or ids.max() >= vocab_size:
        raise TrilobiteError(
            f"Token id {int(ids.min()) if ids.min() < 0 else int(ids.max())} is outside the "
            f"vocabulary of {vocab_size}"
        )
    return ids.astype(np.int64)


class Generation(Iterator[str]):
    """Text pieces as they are generated; what was generated so far is in ``tokens``.

    Times are wall-clock seconds: ``prefill_seconds`` for the prompt up to the first token's
    logits, ``decode_seconds`` for the tokens after the first.
    """

    def __init__(
        self, session: Session, tokenizer: Tokenizer, prompt: list[int],
        max_new_tokens: int, sampler: Sampler, stops: StopStrings,
    ) -> None:
        self.prompt_tokens = prompt
        self.tokens: list[int] = []
        self.prefill_seconds = 0.0
        self.decode_seconds = 0.0
        self._session, self._sampler = session, sampler
        self._limit, self._stop = max_new_tokens, tokenizer.eos_token_ids
        self._stops = stops
        self._pieces = stops.cut(tokenizer.stream(self._token_ids()))

    def __next__(self) -> str:
        return next(self._pieces)

    @property
    def ended(self) -> bool:
        """Whether an end token or a stop string ended the text so far."""
        return self._stops.found is not None or bool(self.tokens and self.tokens[-1] in self._stop)

    @property
    def cache_nbytes(self) -> int:
        """Memory that the keys and values take."""
        return self._session.cache.nbytes

    @property
    def prefill_rate(self) -> float:
        """Prompt tokens per second."""
        return len(self.prompt_tokens) / self.prefill_seconds

    @property
    def decode_rate(self) -> float:
        """Generated tokens per second after the first one; NaN before there are any."""
        count = len(self.tokens) - 1
        return count / self.decode_seconds if count > 0 else math.nan

    def _token_ids(self) -> Iterator[int]:
        began = time.perf_counter()
        logits = self._session.prefill(self.prompt_tokens)
        self.prefill_seconds = time.perf_counter() - began
        while True:
            token_id = self._sampler(logits)
            self.tokens.append(token_id)
            yield token_id
            if len(self.tokens) >= self._limit or token_id in self._stop:
                return
            began = time.perf_counter()
            logits = self._session.feed([token_id])[0]
            self.decode_seconds += time.perf_counter() - began


class LanguageModel:
    """A decoder with its tokenizer. Made by ``trilobite.load``.

    Threads may share one: weights are never written to after loading, and all that a call writes to
    is its own or its session's. A ``Session`` or ``Generation`` belongs to one thread at a time. A
    process has a model of its own; processes that load the same file share its memory where it is
    mapped. A process that is forked after kernels ran in several threads cannot run them in several
    threads (``TrilobiteError``): use ``spawn`` or ``forkserver``.

    Attributes
    ----------
    config : ModelConfig
    tokenizer : Tokenizer
        Read when first used, so that a checkpoint without one still gives logits.
    kv : "int8", "int4", "fp8" or "float32"
        How sessions keep keys and values.
    key_factors
        Static scales of key channels (``kv_scales``), or None.
    """

    def __init__(
        self, folder: Path, decoder: Decoder, kv: KVKind,
        files: Callable[[], Mapping[str, bytes]] | None = None,
        key_factors: np.ndarray | None = None,
    ) -> None:
        self.folder = folder
        self._files = files
        self.decoder = decoder
        self.kv = kv
        self.key_factors = key_factors
        self._tokenizer: Tokenizer | None = None

    @property
    def config(self) -> ModelConfig:
        """What the model is."""
        return self.decoder.config

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer. Raises ``CheckpointError`` if its files are missing or broken."""
        if self._tokenizer is None:
            self._tokenizer = Tokenizer(
                self.folder / "tokenizer.json", self.config.bos_token_id,
                self.config.eos_token_ids, self._files() if self._files else None,
            )
        return self._tokenizer

    def warm_up(self, progress: Progress = SILENT) -> None:
        """Compile what a prefill and a decode step need, so that neither is timed with it.

        ``progress`` is told if anything has to be compiled.
        """
        with when_compiling(progress):
            self.decoder.warm_up(self.kv)

    def session(self, capacity: int) -> Session:
        """Start an empty sequence of at most ``capacity`` tokens."""
        return Session(self.decoder, self.kv, capacity, self.key_factors)

    def step(self, sessions: Sequence[Session], token_ids: Sequence[int]) -> np.ndarray:
        """Append one token to each of several sessions; float32 logits [sessions, vocab_size].

        Each row is what ``feed`` of its session alone would give, see ``Decoder.step``. Raises as
        ``feed``, with no session any further than before.
        """
        ids = _checked_ids(token_ids, self.config.vocab_size)
        with ExitStack() as turns:
            for session in sessions:
                turns.enter_context(session.alone())
            for session in sessions:
                session.prepare(1)
            starts = np.array([session.position for session in sessions], np.int64)
            hidden = self.decoder.step(ids, [session.cache for session in sessions], starts)
            logits = self.decoder.logits(hidden)
            if not np.isfinite(logits).all():
                raise TrilobiteError("The logits of a sequence are not finite")
            for session, token in zip(sessions, ids.tolist(), strict=True):
                session.advance([token])
        return logits

    def logits(self, token_ids: Sequence[int]) -> np.ndarray:
        """Float32 logits [tokens, vocab_size]; row n predicts the token after the n-th."""
        return self.session(len(token_ids)).feed(token_ids)

    def generate(
        self, prompt: str | Sequence[int], max_new_tokens: int = 64, temperature: float = 0.0,
        top_k: int = 0, top_p: float = 1.0, seed: int = 0, min_p: float = 0.0,
        repetition_penalty: float = 1.0, stop: Sequence[str] = (),
    ) -> Generation:
        """Continue ``prompt`` (text, or token ids); iterate over the result for pieces of text.

        Stops after ``max_new_tokens``, at an end token, or before one of the strings in ``stop``.
        Temperature 0 is greedy; ``sampling.Sampling`` says what the others do.

        Raises
        ------
        TrilobiteError
            A parameter is out of range, or prompt and new tokens exceed the model's positions.
        """
        if max_new_tokens < 1:
            raise TrilobiteError(f"New tokens must be at least 1, not {max_new_tokens}")
        sampling = Sampling(temperature, top_k, top_p, seed, min_p, repetition_penalty)
        stops = StopStrings(stop)
        ids = self.tokenizer.encode(prompt) if isinstance(prompt, str) else list(prompt)
        if not ids:
            raise TrilobiteError("The prompt is empty and the model has no begin token")
        session = self.session(len(ids) + max_new_tokens)
        sampler = Sampler(sampling, ids)
        return Generation(session, self.tokenizer, ids, max_new_tokens, sampler, stops)

    def perplexity(self, text: str) -> float:
        """Perplexity of ``text`` in windows of 512 tokens."""
        return self.perplexity_of_tokens(self.tokenizer.encode(text)).value

    def held_out_tokens(self) -> list[int]:
        """Tokens of the standard-library modules that the model's ``training.json`` holds out."""
        documents = held_out_documents(self.folder / "training.json")
        return self.tokenizer.encode_documents(documents)

    def perplexity_of_tokens(
        self, token_ids: Sequence[int], window: int = _WINDOW,
        progress: Progress = SILENT,
    ) -> Perplexity:
        """Perplexity of a token sequence, cut into windows that start with an empty context.

        Each window of ``window`` tokens predicts its successors; what is left over at the end is
        not counted, unless there is less than one window in all. ``progress`` counts
        tokens.
        """
        ids = np.asarray(token_ids)
        if len(ids) < 2:
            raise TrilobiteError(f"A perplexity needs at least 2 tokens; the text has {len(ids)}")
        window = min(window, len(ids) - 1, self.config.max_position_embeddings)
        count = (len(ids) - 1) // window
        progress.start(count * window)
        total = 0.0
        for index in range(count):
            begin = index * window
            logits = self.logits(ids[begin:begin + window].tolist())
            total += _negative_log_likelihood(logits, ids[begin + 1:begin + window + 1])
            progress.advance(window)
        return Perplexity(_perplexity(total / (count * window)), count * window)

    def trace(self, token_ids: Sequence[int], layer: int) -> list[LinearTrace]:
        """The integer activations into, and the exact sums out of, a layer's seven linears.

        Raises
        ------
        TrilobiteError
            The model has no such layer, or its linears are not in an integer format.
        """
        if not 0 <= layer < self.config.num_layers:
            raise TrilobiteError(
                f"Layer {layer} does not exist: the model has layers 0 to "
                f"{self.config.num_layers - 1}"
            )
        if self.config.has_experts(layer):
            raise TrilobiteError(f"Layer {layer} has experts, which are not traced")
        seen = self.intermediates(token_ids)
        return [
            self._trace_linear(layer, name, seen[f"model.layers.{layer}.{name}.input"])
            for name in LINEAR_NAMES
        ]

    def intermediates(self, token_ids: Sequence[int]) -> dict[str, np.ndarray]:
        """Every intermediate tensor that ``Decoder.hidden`` reports, by name, and ``logits``."""
        seen: dict[str, np.ndarray] = {}
        logits = self.session(len(token_ids)).feed(token_ids, seen.__setitem__)
        return seen | {"logits": logits}

    def _trace_linear(self, layer: int, name: str, x: np.ndarray) -> LinearTrace:
        linear = self.decoder.linear(layer, name)
        full_name = f"model.layers.{layer}.{name}"
        if not isinstance(linear, IntegerLinear):
            raise TrilobiteError(f"{full_name} is in float; only a quantized model has integers")
        activations, _ = linear.activations(linear.transformed(x))
        return LinearTrace(full_name, activations, linear.integer(activations))


def _perplexity(nats: float) -> float:
    """What a mean negative log-likelihood stands for."""
    try:
        return math.exp(nats)
    except OverflowError:
        raise TrilobiteError(
            f"The perplexity is beyond any float64: a token of this text costs the model "
            f"{nats:,.0f} nats; its weights are far too large, or damaged"
        ) from None


def _negative_log_likelihood(logits: np.ndarray, targets: np.ndarray) -> float:
    """Sum over rows of -log softmax(logits)[target], in float64."""
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    chosen = wide[np.arange(len(targets)), targets]
    return float((np.log(np.exp(wide).sum(axis=1)) - chosen).sum())
