"""How a ternary matrix lies in external memory: five trits to a byte, in the engine's order.

Plain Python and numpy: what packs a model needs no Amaranth.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..matmul.engine_parameters import TlmmParameters
from ..matmul.weight_codes import cell_trits, decode, encode, word_cells

__all__ = ["WeightLayout"]

MAX_FRAME_BEATS = 8   # a frame's shared cells wait in registers: this bounds their number


@dataclass(frozen=True)
class WeightLayout:
    """The image of a matrix for one engine and one width of memory words.

    The engine takes weight beats of T * G * C trits, memory gives words of 5 trits per byte
    (``weight_codes``), and the one is seldom a multiple of the other. So beats come in frames. A
    beat has ``whole_words`` words of its own, and a rest; the rests of ``frame_beats`` beats share
    the ``shared_words`` words that open the frame. Every cell thereby has a fixed place in its
    word, whatever the ratio, and the unpacker needs no shifter. Which frame is best is found by
    trying.

    ``cells`` are what is moved as one piece: an index for G = 3 and 5, otherwise a trit. Cell
    order in a beat: for each of C rows, for each table, the index or the trits of its group.
    Shared word j gives ``piece_cells`` cells to each beat of the frame in turn: cells
    ``j * piece_cells`` and up of its rest. A beat's own words hold its leading cells.

    The image of an [M, K] matrix is its beats (passes outside, blocks of C rows inside), in
    frames; the last frame may have fewer beats, but has all its shared words. Padding is the trit
    0: up to a whole pass in K, a whole block in M, and cells that belong to no beat.

    Parameters
    ----------
    parameters : TlmmParameters
        Shape of the engine.
    word_bytes : int
        Bytes of a memory word.

    Raises
    ------
    ValueError
        ``word_bytes`` is not a positive integer.
    """

    parameters: TlmmParameters
    word_bytes: int

    def __post_init__(self) -> None:
        if not isinstance(self.word_bytes, int) or self.word_bytes < 1:
            raise ValueError(f"word_bytes must be a positive integer, not {self.word_bytes!r}")

    @property
    def cell_trits(self) -> int:
        """Trits of a cell."""
        return cell_trits(self.parameters.group_size)

    @property
    def word_cells(self) -> int:
        """Cells of a memory word."""
        return word_cells(self.parameters.group_size, self.word_bytes)

    @property
    def beat_cells(self) -> int:
        """Cells of a weight beat."""
        return self.parameters.macs_per_cycle // self.cell_trits

    @property
    def whole_words(self) -> int:
        """Words that belong to one beat alone: at least one, and if need be a padded one."""
        return max(1, self.beat_cells // self.word_cells)

    @property
    def rest_cells(self) -> int:
        """Cells of a beat that lie in shared words."""
        return max(0, self.beat_cells - self.whole_words * self.word_cells)

    @cached_property
    def shared_words(self) -> int:
        """Words at the start of a frame that its beats share: as many as waste the least."""
        if self.rest_cells == 0:
            return 0
        return max(range(1, min(self.rest_cells, MAX_FRAME_BEATS) + 1),
                   key=lambda words: (self._efficiency(words), -words))

    @property
    def piece_cells(self) -> int:
        """Cells that one shared word gives to each beat."""
        return -(-self.rest_cells // self.shared_words) if self.rest_cells else 0

    @property
    def frame_beats(self) -> int:
        """Beats of a frame."""
        return self._beats(self.shared_words) if self.rest_cells else 1

    @property
    def frame_words(self) -> int:
        """Words of a whole frame."""
        return self.shared_words + self.frame_beats * self.whole_words

    def words(self, M: int, K: int) -> int:
        """Words of the image of an [M, K] matrix."""
        beats = self.parameters.passes(K) * self.parameters.blocks(M)
        return -(-beats // self.frame_beats) * self.shared_words + beats * self.whole_words

    def bits_per_weight(self, shapes: list[tuple[int, int]]) -> float:
        """Stored bits per weight of matrices [M, K], with a float32 scale each."""
        bits = sum(8 * self.word_bytes * self.words(M, K) + 32 for M, K in shapes)
        return bits / sum(M * K for M, K in shapes)

    def pack(self, trits: np.ndarray) -> np.ndarray:
        """The image of an int8 [M, K] matrix of -1, 0, 1: uint8 [words, word_bytes]."""
        words = np.zeros((self.words(*trits.shape), self.word_cells, self.cell_trits), np.int64)
        words.reshape(-1)[self._places(*trits.shape)] = self._beats_of(trits)
        cells = words @ 3 ** np.arange(self.cell_trits)
        return encode(cells, self.parameters.group_size, self.word_bytes)

    def unpack(self, image: np.ndarray, M: int, K: int) -> np.ndarray:
        """Inverse of ``pack``: int8 [M, K]. Bytes that it does not write are not checked."""
        p = self.parameters
        cells = decode(image, p.group_size) + 3 ** self.cell_trits // 2
        trits = cells[..., None] // 3 ** np.arange(self.cell_trits) % 3 - 1
        beats = trits.reshape(-1)[self._places(M, K)]
        rows = beats.reshape(p.passes(K), p.blocks(M) * p.columns, p.pass_length)
        return (rows.transpose(1, 0, 2).reshape(rows.shape[1], -1)[:M, :K]).astype(np.int8)

    def _beats(self, shared_words: int) -> int:
        return min(self.word_cells // -(-self.rest_cells // shared_words), MAX_FRAME_BEATS)

    def _efficiency(self, shared_words: int) -> float:
        beats = self._beats(shared_words)
        return beats * self.beat_cells / (beats * self.whole_words + shared_words)

    def _beats_of(self, trits: np.ndarray) -> np.ndarray:
        """Trits in the order of the beats: int64 [beats, trits of a beat]."""
        p = self.parameters
        M, K = trits.shape
        padded = np.zeros((p.blocks(M) * p.columns, p.passes(K) * p.pass_length), np.int64)
        padded[:M, :K] = trits
        return (padded.reshape(p.blocks(M), p.columns, p.passes(K), p.pass_length)
                .transpose(2, 0, 1, 3).reshape(-1, p.macs_per_cycle))

    def _places(self, M: int, K: int) -> np.ndarray:
        """Where each trit of each beat lies in the words' cells: int64 [beats, trits]."""
        beat = np.arange(self.parameters.passes(K) * self.parameters.blocks(M))[:, None]
        frame, in_frame = np.divmod(beat, self.frame_beats)
        start = frame * self.frame_words
        cell = np.arange(self.beat_cells)
        own = self.beat_cells - self.rest_cells
        word = start + self.shared_words + in_frame * self.whole_words + cell // self.word_cells
        place = word * self.word_cells + cell % self.word_cells
        if self.rest_cells:
            piece, offset = np.divmod(cell[own:] - own, self.piece_cells)
            place[:, own:] = ((start + piece) * self.word_cells
                              + in_frame * self.piece_cells + offset)
        trits = place[..., None] * self.cell_trits + np.arange(self.cell_trits)
        return trits.reshape(len(beat), -1)
