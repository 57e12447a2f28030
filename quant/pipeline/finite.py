"""All floats of a checkpoint are seen to be numbers before anything is written.

Otherwise a NaN in the last tensor would end a run of hours. That reads the floats once more, as
they are stored; a checkpoint that is large leaves the system's cache behind, as it does behind the
work (``input_files``).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ...tools.progress import Progress
from ..checkpoint import Checkpoint
from ..rounding.rounded_blocks import THREADS
from ..rounding.weight_blocks import row_blocks
from .input_files import is_large, let_go, total_size

__all__ = ["check_numbers", "float_bytes"]

_FLOATS = ("F32", "F16", "BF16")


def float_bytes(checkpoint: Checkpoint) -> int:
    """Stored bytes that ``check_numbers`` reads, and tells its progress of."""
    return sum(checkpoint.tensors[name].nbytes for name in _floats(checkpoint))


def check_numbers(checkpoint: Checkpoint, inputs: Sequence[Path], progress: Progress) -> None:
    """Read what is stored as floats in ``inputs``, the files of ``checkpoint``.

    Raises ``CheckpointError`` at the first NaN or infinity, naming tensor and place.
    """
    large = is_large(total_size(inputs))
    with ThreadPoolExecutor(THREADS) as threads:
        for name in _floats(checkpoint):
            info = checkpoint.tensors[name]
            rows = row_blocks(info.shape) if len(info.shape) == 2 else [(0, info.shape[0])]
            checks = [threads.submit(checkpoint.check_numbers, name, *each) for each in rows]
            for check in checks:
                check.result()
            progress.advance(info.nbytes)
            if large:
                let_go(info)


def _floats(checkpoint: Checkpoint) -> list[str]:
    """Names of the tensors that are stored as floats, in the order of their files."""
    tensors = checkpoint.tensors
    return sorted((name for name, info in tensors.items() if info.dtype in _FLOATS and info.shape),
                  key=lambda name: (tensors[name].file, tensors[name].begin or 0))
