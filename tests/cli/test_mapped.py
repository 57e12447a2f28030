"""``--mmap`` of every command that loads a model."""

import pytest

from support.command import run
from trilobite.errors import TrilobiteError


@pytest.mark.parametrize("command", [
    ("generate", "demo-bitnet", "-p", "x"), ("evaluate", "demo-bitnet"), ("bench", "demo-bitnet"),
], ids=lambda command: command[0])
def test_whether_files_are_mapped_is_an_option(monkeypatch, command):
    asked = []

    def refuse(source, mmap):
        asked.append(mmap)
        raise TrilobiteError(f"not {source}")

    monkeypatch.setattr("trilobite.api.models.open_checkpoint", refuse)
    for more in ((), ("--mmap",), ("--no-mmap",)):
        assert run(*command, *more).exit_code == 2
    assert asked == [True, True, False]
