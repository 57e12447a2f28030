"""The table of registers is the one in the code."""

from register_reference import PAGE, register_table, with_table

from trilobite.fpga.registers import COUNTER_REGISTERS, REGISTERS, RUN_REGISTERS


def test_the_page_has_the_table():
    page = PAGE.read_text()
    assert with_table(page) == page, "else run docs/extensions/register_reference.py"
    assert register_table().count("\n") == 2 + len(REGISTERS)


def test_no_two_registers_have_an_address():
    addresses = [register.address for register in REGISTERS.values()]
    assert len(set(addresses)) == len(addresses)
    assert all(address % 4 == 0 for address in addresses)
    counters = {f"count_{name}" for name in COUNTER_REGISTERS}
    assert RUN_REGISTERS.keys() | counters <= REGISTERS.keys()
