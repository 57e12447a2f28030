"""A board of registers and memory in Python, without an accelerator."""

from trilobite.errors import HostError
from trilobite.host.transport import Transport


class FakeBoard(Transport):
    """16 registers that keep what is written, and 4 KiB of memory."""

    name, memory_base, memory_bytes = "fake", 0, 4096

    def __init__(self):
        self.registers, self.memory = [0] * 16, bytearray(self.memory_bytes)

    def __exit__(self, *reason):
        pass

    def _check(self, address):
        if address // 4 >= len(self.registers):
            raise HostError(f"no register 0x{address:x}")

    def read_register(self, address):
        self._check(address)
        return self.registers[address // 4]

    def write_register(self, address, value):
        self._check(address)
        self.registers[address // 4] = value

    def read_memory(self, offset, count):
        return bytes(self.memory[offset:offset + count])

    def write_memory(self, offset, content):
        self.memory[offset:offset + len(content)] = content

    def wait(self, seconds):
        return False
