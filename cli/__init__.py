"""The ``trilobite`` command: a file for each of its commands, with its options and its printing."""

from .commands import app
from .start import main

__all__ = ["app", "main"]
