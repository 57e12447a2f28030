"""A disk that has no room."""

import errno
import os
from typing import Any, NoReturn


def full_disk(*arguments: Any) -> NoReturn:
    """In the place of a function that writes: there is no room."""
    del arguments
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
