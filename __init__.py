"""Trilobite: from a real language-model checkpoint down to low-bit edge hardware."""

__version__ = "0.1.0"
