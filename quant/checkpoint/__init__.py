"""Checkpoints in: Hugging Face folders and Trilobite's own, read one tensor at a time.

Nothing in a checkpoint is trusted: ``open_checkpoint`` reads the description of a model and of its
tensors, compares the two, and refuses what is damaged, contradictory or not understood, by name,
before any weight is read.
"""

from .checkpoint import Checkpoint, open_checkpoint
from .families import parse_config
from .files.locate import DEMOS, resolve
from .files.source import TensorInfo

__all__ = ["DEMOS", "Checkpoint", "TensorInfo", "open_checkpoint", "parse_config", "resolve"]
