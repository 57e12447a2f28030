"""Which text a model is calibrated on, and which parts of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import TrilobiteError
from ..model import ModelConfig
from .calibration import CalibrationRun
from .layer import Weights
from .text import Tokenizer, read_text, training_documents

__all__ = ["SEQUENCES", "CalibrationText", "choose_text"]

SEQUENCES = 64
_LENGTH = 512


@dataclass(frozen=True)
class CalibrationText:
    """Token sequences to calibrate with: int [sequences, length], where they are from, the seed.

    A ``quant.methods.calibration.Calibration``.
    """

    sequences: np.ndarray
    source: str
    seed: int

    @property
    def tokens(self) -> int:
        """Tokens in all."""
        return self.sequences.size

    def describe(self) -> dict[str, Any]:
        """The manifest's entry; the hash is of the token ids as little-endian int32."""
        return {
            "source": self.source,
            "sha256": hashlib.sha256(self.sequences.astype("<i4").tobytes()).hexdigest(),
            "sequences": self.sequences.shape[0],
            "length": self.sequences.shape[1],
            "seed": self.seed,
        }

    def start(self, config: ModelConfig, weights: Weights) -> CalibrationRun:
        """Start before the first layer; ``weights`` gives the embedding, norms and biases."""
        return CalibrationRun(config, weights, self.sequences)


def choose_text(
    folder: Path, config: ModelConfig, file: Path | None, sequences: int, seed: int,
    files: Mapping[str, bytes] | None = None,
) -> CalibrationText:
    """Sequences of 512 tokens (or of the model's positions) drawn by ``seed``, without overlap.

    From the UTF-8 text ``file``, or else one from each of some standard-library modules that the
    model's training.json does not hold out. ``files`` has the tokenizer where ``folder`` has not
    (see ``Tokenizer``). A short text gives fewer sequences, or a shorter one.

    Raises
    ------
    TrilobiteError
        The text cannot be read or has fewer than 2 tokens, or ``sequences`` is below 1.
    """
    if sequences < 1:
        raise TrilobiteError(f"Calibration needs at least 1 sequence, not {sequences}")
    if seed < 0:
        raise TrilobiteError(f"The seed must not be negative, as {seed} is")
    tokenizer = Tokenizer(
        folder / "tokenizer.json", config.bos_token_id, config.eos_token_ids, files
    )
    rng = np.random.default_rng(seed)
    if file is None:
        documents = training_documents(folder / "training.json")
        documents = [documents[i] for i in rng.permutation(len(documents))]
        source = "Python standard library"
    else:
        documents = [read_text(file)]
        source = file.name
    length = min(_LENGTH, config.max_position_embeddings)
    share = -(-sequences // len(documents))   # of each document
    drawn: list[np.ndarray] = []
    longest = np.empty(0, np.int64)
    for document in documents:
        tokens = np.array(tokenizer.encode_documents([document]))
        longest = max(longest, tokens, key=len)
        windows = tokens[: len(tokens) // length * length].reshape(-1, length)
        drawn += list(windows[np.sort(rng.permutation(len(windows))[:share])])
        if len(drawn) >= sequences:
            break
    if len(longest) < 2:
        raise TrilobiteError(
            f"{source} has {len(longest)} tokens in one piece; calibration needs at least 2"
        )
    if not drawn:
        return CalibrationText(longest[None], source, seed)
    return CalibrationText(np.stack(drawn[:sequences]), source, seed)
