"""pyserial itself, with a pseudo-terminal in the place of the cable."""

import os
import threading
import tty

import pytest

from support.fake_board import FakeBoard
from support.uart_line import UartLine
from trilobite.host.uart import UartBoard, open_serial

pytest.importorskip("serial")


@pytest.fixture
def device():
    """The name of a line with a board at its other end."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    line = UartLine(FakeBoard())

    def serve():
        while True:
            try:
                line.write(os.read(ours, 4096))
            except OSError:
                return   # nobody has the other end any more
            os.write(ours, line.read(1 << 16))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    name = os.ttyname(theirs)
    yield name
    os.close(theirs)
    thread.join(5)
    os.close(ours)


def test_a_board_answers_over_a_serial_line(device):
    with UartBoard(f"uart:{device}", lambda: open_serial(device), 4096) as board:
        board.write_register(8, 0x1234_5678)
        assert board.read_register(8) == 0x1234_5678
        content = bytes(range(256)) * 4
        board.write_memory(12, content)
        assert board.read_memory(12, len(content)) == content
        assert not board.wait(0.01)
