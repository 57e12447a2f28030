"""What holds files open and closes them at the end of a ``with`` block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

__all__ = ["HoldsFiles"]


class HoldsFiles(ABC):
    """A context manager that closes its files when the block ends, however it ends."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Close every file; nothing can be read afterwards."""
