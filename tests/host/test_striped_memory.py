"""Memory in several regions, as the host program has it."""

import random

import pytest

from support.fake_board import FakeBoard
from trilobite.host.striped_memory import memory_of


@pytest.mark.parametrize(("ports", "word"), [(2, 8), (4, 16), (4, 64)])
def test_part_i_of_every_word_lies_in_region_i(ports, word):
    board, part = FakeBoard(), word // ports
    board.memory_bytes = 4 * ports * 4096 + 100   # a rest that no region takes
    board.memory = bytearray(board.memory_bytes)
    memory = memory_of(board, ports, word)
    assert memory.spacing == 4 * 4096
    assert memory.memory_bytes == ports * memory.spacing
    content = random.Random(1).randbytes(5 * word)
    memory.write_memory(3 * word, content)
    for place, byte in enumerate(content):
        number, within = place % word // part, 3 * part + place // word * part + place % part
        assert board.memory[number * memory.spacing + within] == byte
    assert memory.read_memory(3 * word, len(content)) == content


@pytest.mark.parametrize("ports", [1, 4])
def test_any_bytes_are_written_and_their_neighbours_stay(ports):
    board, rng = FakeBoard(), random.Random(2)
    board.memory_bytes = 4 * 4096
    board.memory = bytearray(rng.randbytes(board.memory_bytes))
    memory = memory_of(board, ports, 16)
    right = bytearray(memory.read_memory(0, memory.memory_bytes))
    for _ in range(200):
        count = rng.choice((0, 1, 4, 15, 16, 17, 100))
        place = rng.randrange(memory.memory_bytes - count + 1)
        content = rng.randbytes(count)
        memory.write_memory(place, content)
        right[place:place + count] = content
        assert memory.read_memory(place, count) == content
    assert memory.read_memory(0, len(right)) == bytes(right)


def test_what_lies_outside_is_refused():
    memory = memory_of(FakeBoard(), 4, 16)
    assert memory.memory_bytes == 0   # 4 KiB have no room for four regions
    with pytest.raises(ValueError, match="1 bytes at 0 are outside of the 0 bytes of fake"):
        memory.read_memory(0, 1)
