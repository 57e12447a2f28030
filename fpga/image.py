"""A model as an accelerator's memory: what is loaded where, and how a run begins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from .descriptors import DESCRIPTOR_BYTES, FIELDS
from .memory_map import Region
from .registers import configuration_hash, image_parameters

if TYPE_CHECKING:
    from .compiler import Program

__all__ = ["Image", "image_of"]


@dataclass(frozen=True)
class Image:
    """The memory that one accelerator runs one model from. Places are bytes behind its start.

    Attributes
    ----------
    name
        What messages call it.
    configuration, parameters
        ``configuration_hash`` of the accelerator, and its parameters as JSON has them.
    word_bytes
        Bytes of a word.
    capacity
        Tokens of prompt and output together.
    vocab_size, begin_token, end_tokens
        Of the model.
    program, tiles, tile_count
        The registers of these names.
    regions
        By name.
    contents
        Bytes by region, in whole words; regions without any hold what they held.
    """

    name: str
    configuration: int
    parameters: Mapping[str, Any]
    word_bytes: int
    capacity: int
    vocab_size: int
    begin_token: int | None
    end_tokens: tuple[int, ...]
    program: int
    tiles: int
    tile_count: int
    regions: Mapping[str, Region]
    contents: Mapping[str, memoryview]

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it takes."""
        return max(region.end for region in self.regions.values()) * self.word_bytes

    def region(self, name: str) -> tuple[int, int]:
        """Place and bytes of a region."""
        region = self.regions[name]
        return region.start * self.word_bytes, region.words * self.word_bytes

    def step_tokens(self, max_tokens: int) -> int:
        """Most tokens of a step on an accelerator that takes ``max_tokens``.

        The widest rows of all of them must fit the activation buffer.
        """
        first = sum(FIELDS[name] for name in takewhile("passes".__ne__, FIELDS))
        listed = self.contents["program"]
        passes = max(int.from_bytes(listed[at:at + DESCRIPTOR_BYTES], "little") >> first
                     & (1 << FIELDS["passes"]) - 1
                     for at in range(0, len(listed) - DESCRIPTOR_BYTES + 1, DESCRIPTOR_BYTES))
        return min(max_tokens, int(self.parameters["activation_beats"]) // max(1, passes))

    def token_place(self, position: int, count: int) -> int:
        """The place of the token at ``position``, which ``count`` tokens from there on have."""
        place, size = self.region("tokens")
        if position < 0 or 4 * (position + count) > size:
            raise ValueError(f"Positions {position} to {position + count} are outside of "
                             f"{self.name}, which has room for {size // 4} tokens")
        return place + 4 * position

    def pieces(self, most: int) -> Iterator[tuple[int, memoryview]]:
        """What is to be loaded, in order: place, and at most ``most`` bytes."""
        for name, content in self.contents.items():
            place, _ = self.region(name)
            for begin in range(0, len(content), most):
                yield place + begin, content[begin:begin + most]


def image_of(program: Program, name: str, capacity: int) -> Image:
    """The image of a compiled model that messages call ``name``."""
    memory, parameters, config = program.memory, program.parameters, program.config
    contents = {name: memoryview(words.reshape(-1).data) for name, words in memory.contents.items()}
    return Image(name, configuration_hash(parameters), image_parameters(parameters),
                 parameters.word_bytes, capacity, config.vocab_size, config.bos_token_id,
                 config.eos_token_ids,
                 program.word("program"), program.word("tiles"), len(program.tiles),
                 dict(memory.regions), contents)
