"""On an ARM CPU, emulated or not: the files and the logits of another machine, byte for byte."""

import json
from pathlib import Path

import pytest

from support.same_bytes import results

EXPECTED = Path("/src/expected.json")   # written by run.py, on the machine that emulates


@pytest.mark.skipif(not EXPECTED.exists(), reason="there are no results of another machine here")
def test_files_and_logits_are_those_of_another_machine():
    assert results() == json.loads(EXPECTED.read_text())
