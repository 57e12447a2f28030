"""The scripts in benchmarks/ import each other as they do when one of them is run."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import onnx_matmul
import pytest


@pytest.fixture(autouse=True)
def no_common_threads(monkeypatch):
    """A pool for all sessions of a process cannot be given back, and other tests open their own."""
    monkeypatch.setattr(onnx_matmul, "_share_threads", lambda threads: False)
