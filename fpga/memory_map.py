"""Where everything lies in the accelerator's memory."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

__all__ = ["MemoryMap", "Region"]


@dataclass(frozen=True)
class Region:
    """``words`` words from number ``start`` on."""

    name: str
    start: int
    words: int

    @property
    def end(self) -> int:
        """The word after the last one."""
        return self.start + self.words


@dataclass
class MemoryMap:
    """Regions one behind the other, each with or without contents.

    Parameters
    ----------
    word_bytes : int
        Bytes of a word.
    """

    word_bytes: int
    regions: dict[str, Region] = field(default_factory=dict)
    contents: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def words(self) -> int:
        """Words in all."""
        return max((region.end for region in self.regions.values()), default=0)

    def reserve(self, name: str, nbytes: int) -> Region:
        """Make a region of whole words, at least one, for ``nbytes`` bytes."""
        if name in self.regions:
            raise ValueError(f"There is a region {name!r} already")
        region = Region(name, self.words, max(1, -(-nbytes // self.word_bytes)))
        self.regions[name] = region
        return region

    def put(self, name: str, array: np.ndarray) -> Region:
        """Make a region with the bytes of ``array``."""
        data = np.ascontiguousarray(array).view(np.uint8).ravel()
        region = self.reserve(name, len(data))
        padded = np.zeros(region.words * self.word_bytes, np.uint8)
        padded[:len(data)] = data
        self.contents[name] = padded.reshape(-1, self.word_bytes)
        return region

    def image(self) -> list[tuple[int, np.ndarray]]:
        """What is to be loaded: first word, and uint8 [words, word_bytes], in order."""
        return [(self.regions[name].start, words) for name, words in self.contents.items()]
