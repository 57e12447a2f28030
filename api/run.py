"""Run a model on an accelerator: one in a simulation, or on a board."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from ..errors import TrilobiteError
from ..fpga.accelerator_parameters import AcceleratorParameters
from ..fpga.image import Image
from ..fpga.image_file import is_image, read_image
from ..host.driver import Driver
from ..host.transport import Transport
from ..quant.checkpoint import open_checkpoint
from ..runtime.sampling import Sampler, Sampling
from ..runtime.text import Tokenizer
from ..sim.descriptions.accelerator import load_accelerator
from ..sim.verify.board.simulated_board import SimulatedBoard, build_board
from ..tools.progress import SILENT, Progress
from ..tools.scratch import scratch_folder
from .boards import SIM, accelerator_of, physical_board
from .image import compiled_image, image_name
from .models import load
from .ternary import ternary_copy

__all__ = ["BoardRun", "run"]

_DEFAULT = "demo"
_SIMULATED_PATIENCE = 24 * 3600.0   # seconds for a token: a simulation takes what it takes


@dataclass(frozen=True)
class BoardRun:
    """What an accelerator wrote.

    Attributes
    ----------
    board, model
        What was run on what.
    prompt_tokens, tokens
        Token ids; an end token is the last one.
    text
        The continuation alone.
    expected
        The tokens that the runtime chooses; None where they were not asked for.
    counters
        Of the run that chose tokens.
    load_seconds, seconds
        Wall-clock seconds that loading the image took, and the tokens.
    warnings
        Sentences on the model.
    """

    board: str
    model: str
    prompt_tokens: tuple[int, ...]
    tokens: tuple[int, ...]
    text: str
    expected: tuple[int, ...] | None
    counters: dict[str, int]
    load_seconds: float
    seconds: float
    warnings: tuple[str, ...]

    @property
    def equal(self) -> bool | None:
        """Whether every token is the runtime's; None where nobody asked."""
        return None if self.expected is None else self.tokens == self.expected

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {"board": self.board, "model": self.model, "text": self.text,
                "tokens": list(self.tokens), "prompt_tokens": len(self.prompt_tokens),
                "tokens_equal": self.equal, "counters": self.counters,
                "load_seconds": self.load_seconds, "seconds": self.seconds}


def run(
    model: str | Path, prompt: str | Sequence[int], new_tokens: int = 32, on: str = SIM,
    hardware: str | None = None, context: int | None = None, check: bool = False,
    waves: str | Path | None = None, progress: Progress = SILENT, temperature: float = 0.0,
    top_k: int = 0, top_p: float = 1.0, seed: int = 0, min_p: float = 0.0,
    repetition_penalty: float = 1.0,
) -> BoardRun:
    """Continue a prompt on an accelerator until an end token, or for ``new_tokens``.

    Parameters
    ----------
    model
        A folder that ``image`` wrote, a ternary model, or master weights that were trained ternary.
    prompt
        Text, or token ids.
    new_tokens
        At most so many.
    on
        ``sim``, ``uart:DEVICE``, ``uart:DEVICE@BAUD``, ``uio:NUMBER`` or ``pynq:FILE.bit``.
    hardware
        The accelerator that a model is compiled for, by name or as a .toml file; None takes the
        one that a board says it has, and in a simulation, ``demo``.
    context
        Tokens that a model is compiled for; None takes those of the prompt and the new ones.
    check
        Let the runtime choose tokens too.
    waves
        Record all signals of a simulation in this .fst or .vcd file.
    progress
        Counts tokens; each piece of text is finished as soon as it is known.
    temperature, top_k, top_p, seed, min_p, repetition_penalty
        As ``generate`` takes them. If they are not greedy, the accelerator writes all logits to
        memory, and the runtime's sampler draws from them on the host: the runtime's tokens.

    Raises
    ------
    TrilobiteError
        The model, the image or the board is not what it should be, or an option is out of place.
    HostError
        The board does not answer, or has another accelerator; ``RunFailed``: it reported an error.
    ToolError
        The simulation needs a tool that is missing or fails.
    """
    sampling = Sampling(temperature, top_k, top_p, seed, min_p, repetition_penalty)
    job = _Job(model, prompt, new_tokens, hardware, context, check, progress, sampling)
    if on == SIM:
        return job.simulated(None if waves is None else Path(waves))
    if waves is not None:
        raise TrilobiteError(f"--waves records a simulation, and {on} is none")
    return job.on_board(on)


class _Job:
    """A run of which the board is not known yet."""

    def __init__(self, model: str | Path, prompt: str | Sequence[int], new_tokens: int,
                 hardware: str | None, context: int | None, check: bool,
                 progress: Progress, sampling: Sampling) -> None:
        if new_tokens < 1:
            raise TrilobiteError(f"New tokens must be at least 1, not {new_tokens}")
        self.model, self.prompt, self.new_tokens = model, prompt, new_tokens
        self.hardware, self.context, self.check = hardware, context, check
        self.progress, self.sampling = progress, sampling

    def simulated(self, waves: Path | None) -> BoardRun:
        """Run it in a simulation."""
        with self._source() as source:
            parameters = load_accelerator(self.hardware or _DEFAULT).whole()
            image = source.image(parameters)
            self.progress.doing("Building the simulator")
            built = build_board(parameters, image.nbytes,
                                wave_suffix=waves.suffix if waves else None)
            with SimulatedBoard(built, waves) as board:
                return self._run(source, image, board, Driver(board, _SIMULATED_PATIENCE))

    def on_board(self, on: str) -> BoardRun:
        """Run it on a board."""
        with self._source() as source, physical_board(on) as board:
            driver = Driver(board)
            parameters = (load_accelerator(self.hardware).whole() if self.hardware
                          else accelerator_of(driver, on))
            return self._run(source, source.image(parameters), board, driver)

    @contextmanager
    def _source(self) -> Iterator[_Source]:
        """What the image and the tokenizer come from."""
        folder = Path(self.model)
        if is_image(folder):
            if self.check or self.context is not None:
                option = "--check" if self.check else "--context"
                raise TrilobiteError(f"{option} needs the model, and {folder} is an image of it")
            image = read_image(folder)
            tokenizer = Tokenizer(folder / "tokenizer.json", image.begin_token, image.end_tokens)
            ids = self._ids(tokenizer)
            yield _Source(tokenizer, ids, (), lambda parameters: image)
            return
        with scratch_folder() as scratch:
            copy, warnings = ternary_copy(str(self.model), scratch / "model", "run")
            with open_checkpoint(copy) as checkpoint:
                config = checkpoint.config
                tokenizer = Tokenizer(checkpoint.folder / "tokenizer.json", config.bos_token_id,
                                      config.eos_token_ids, checkpoint.companions())
                ids = self._ids(tokenizer)
                context = len(ids) + self.new_tokens if self.context is None else self.context
                yield _Source(
                    tokenizer, ids, warnings,
                    lambda parameters: compiled_image(checkpoint, image_name(self.model),
                                                      parameters, context),
                    copy)

    def _ids(self, tokenizer: Tokenizer) -> list[int]:
        ids = tokenizer.encode(self.prompt) if isinstance(self.prompt, str) else list(self.prompt)
        if not ids:
            raise TrilobiteError("The prompt is empty and the model has no begin token")
        return ids

    def _run(self, source: _Source, image: Image, board: Transport, driver: Driver) -> BoardRun:
        progress, tokenizer = self.progress, source.tokenizer
        progress.start(sum(map(len, image.contents.values())), "Loading the image")
        began = time.perf_counter()
        driver.load(image, progress.advance)
        loaded = time.perf_counter()
        progress.start(self.new_tokens, f"Running on {board.name}")
        tokens: list[int] = []

        def given() -> Iterator[int]:
            for token in self._tokens(source, driver):
                tokens.append(token)
                progress.advance()
                yield token

        text = ""
        for piece in tokenizer.stream(given()):
            progress.finished(piece)
            text += piece
        ended, counters = time.perf_counter(), driver.counters()
        return BoardRun(board.name, str(self.model), tuple(source.ids), tuple(tokens), text,
                        self._expected(source), counters, loaded - began, ended - loaded,
                        source.warnings)

    def _tokens(self, source: _Source, driver: Driver) -> Iterator[int]:
        ends = source.tokenizer.eos_token_ids
        how = self.sampling
        if how.temperature == 0.0 and how.repetition_penalty == 1.0:
            return driver.generate(source.ids, self.new_tokens, ends)
        return driver.sample(source.ids, self.new_tokens, Sampler(how, source.ids), ends)

    def _expected(self, source: _Source) -> tuple[int, ...] | None:
        """What the runtime chooses."""
        if not self.check:
            return None
        generation = load(source.folder).generate(
            source.ids, self.new_tokens, *astuple(self.sampling))
        for _ in generation:
            pass   # its tokens are looked at, not its text
        return tuple(generation.tokens)


@dataclass(frozen=True)
class _Source:
    """Text to tokens, the prompt's, and an image for an accelerator; ``folder`` of a model."""

    tokenizer: Tokenizer
    ids: list[int]
    warnings: tuple[str, ...]
    image: Callable[[AcceleratorParameters], Image]
    folder: str | Path = ""
