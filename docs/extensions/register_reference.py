"""``docs/reference/registers.md`` has a table of the registers, made of ``fpga.registers``.

``python docs/extensions/register_reference.py`` writes it anew; a test compares the two.
"""

from __future__ import annotations

from pathlib import Path

from trilobite.fpga.registers import REGISTERS, Register

__all__ = ["PAGE", "register_table", "with_table"]

PAGE = Path(__file__).parents[1] / "reference" / "registers.md"
_HEAD = "| address | register | access | after a reset | meaning |\n|---|---|---|---|---|\n"


def register_table() -> str:
    """The table in Markdown, by address."""
    ordered = sorted(REGISTERS.items(), key=lambda item: item[1].address)
    return _HEAD + "".join(map(_row, *zip(*ordered, strict=True)))


def _row(name: str, register: Register) -> str:
    reset = register.reset if isinstance(register.reset, str) else f"0x{register.reset:x}"
    return (f"| 0x{register.address:03x} | `{name}` | {register.access} | {reset} "
            f"| {register.meaning} |\n")


def with_table(page: str) -> str:
    """A page with the table in the place of the one that it has."""
    before, _, rest = page.partition(_HEAD)
    after = rest[rest.index("\n\n") + 1:] if "\n\n" in rest else ""
    return before + register_table() + after


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
