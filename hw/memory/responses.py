"""What a memory port answers, and what can go wrong on one. Plain Python."""

from __future__ import annotations

import enum

__all__ = ["PortError", "Response"]


class Response(enum.IntEnum):
    """RRESP and BRESP."""

    OKAY = 0
    EXOKAY = 1
    SLVERR = 2
    DECERR = 3


class PortError(enum.IntEnum):
    """The first thing that went wrong on a port."""

    NONE = 0
    SLAVE = 1       # a response SLVERR
    DECODE = 2      # a response DECERR: no memory at that address
    PROTOCOL = 3    # RLAST at the wrong beat, or EXOKAY, which was not asked for
    TIMEOUT = 4     # the other side did nothing for too long
