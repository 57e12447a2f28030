"""Beats of a stream from the fields of its payload, and back."""

import numpy as np


def pack_payloads(layout, rows):
    """Uint8 [beats, bytes] from a dictionary of unsigned integers for each beat."""
    size = -(-layout.size // 8)
    beats = [sum(value << layout[name].offset for name, value in row.items()) for row in rows]
    return np.frombuffer(b"".join(beat.to_bytes(size, "little") for beat in beats),
                         np.uint8).reshape(-1, size)


def unpack_payloads(layout, beats):
    """The fields of each beat, as unsigned integers."""
    numbers = [int.from_bytes(beat.tobytes(), "little") for beat in beats]
    return [{name: number >> field.offset & (1 << field.width) - 1 for name, field in layout}
            for number in numbers]
