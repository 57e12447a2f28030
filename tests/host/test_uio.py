"""UIO and u-dma-buf, with files in the place of the devices."""

import os

import pytest

from trilobite.errors import HostError
from trilobite.host.uio import UioBoard


@pytest.fixture
def system(tmp_path):
    devices, said = tmp_path / "dev", tmp_path / "class" / "u-dma-buf" / "udmabuf3"
    devices.mkdir()
    said.mkdir(parents=True)
    (devices / "uio3").write_bytes(bytes(4096))
    (devices / "udmabuf3").write_bytes(bytes(8192))
    (said / "phys_addr").write_text("0x6fc00000\n")
    (said / "size").write_text("8192\n")
    return tmp_path


def opened(system):
    return UioBoard(3, system / "dev", system / "class")


def test_registers_and_memory_are_those_of_the_devices(system):
    with opened(system) as board:
        assert (board.memory_base, board.memory_bytes) == (0x6FC0_0000, 8192)
        board.write_register(0x128, 0x8765_4321)
        assert board.read_register(0x128) == 0x8765_4321
        board.write_memory(4099, b"abcde")
        assert board.read_memory(4098, 7) == b"\0abcde\0"
        with pytest.raises(ValueError, match="outside of the 8192 bytes of uio:3"):
            board.write_memory(8190, b"abc")
    assert (system / "dev" / "uio3").read_bytes()[0x128:0x12C] == b"\x21\x43\x65\x87"
    assert (system / "dev" / "udmabuf3").read_bytes()[4099:4104] == b"abcde"


def test_an_interrupt_is_a_read_that_ends(system, monkeypatch):
    with opened(system) as board:
        reads, writes = os.pipe()
        asked = []
        board._interrupts = reads
        monkeypatch.setattr(os, "write", lambda number, content: asked.append((number, content)))
        assert not board.wait(0.01)
        monkeypatch.undo()
        os.write(writes, bytes(4))
        monkeypatch.setattr(os, "write", lambda number, content: asked.append((number, content)))
        assert board.wait(5)
        assert asked == [(reads, b"\x01\0\0\0")] * 2   # it is enabled before it is waited for
        os.close(reads)
        os.close(writes)


@pytest.mark.parametrize("missing", ["dev/uio3", "dev/udmabuf3", "class/u-dma-buf/udmabuf3/size"])
def test_a_device_that_is_missing_is_said(system, missing):
    (system / missing).unlink()
    with pytest.raises(HostError, match=r"uio:3: .* it needs the UIO device"), opened(system):
        pass
