"""What a run of the accelerator is told, and why it may end early. Plain Python."""

from __future__ import annotations

import enum

__all__ = ["NO_TOKEN", "RUN_FIELDS", "RunError"]

NO_TOKEN = 0xFFFF_FFFF   # as ``end_token``: no token ends the run

# Bits of each field; ``sequencer.run_layout`` says what they mean.
RUN_FIELDS: dict[str, int] = {
    "program": 32, "tiles": 32, "tile_count": 24, "tokens": 16, "position": 24,
    "new_tokens": 16, "end_token": 32, "logits": 1,
}


class RunError(enum.IntEnum):
    """Why a run ended early."""

    NONE = 0
    OPERATION = 1   # a descriptor's operation or post does not exist
    SIZE = 2        # a descriptor exceeds what the accelerator was made for
    TOKENS = 3      # no tokens, or more than the accelerator or its context holds
    READ = 4        # the read port reported an error
    WRITE = 5       # the write port did
    WEIGHTS = 6     # a weight byte that no encoder writes, or a tile larger than the buffer
    STUCK = 7       # nothing moved for too long
