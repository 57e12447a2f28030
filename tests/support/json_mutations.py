"""Hostile JSON: a few values of an object set to what nobody writes, the rest as it was."""

import json
import random
from collections.abc import Callable
from copy import deepcopy
from typing import Any

VALUES = (
    None, True, False, 0, 1, -1, 2, 3, 31, 32, 64, 2**31, 2**53, 2**63, 2**64, -(2**63), 10**30,
    0.5, -0.0, 1e-320, 1e308, float("inf"), float("nan"), "", "x", "1", "é\n", "x" * 5000,
    "/etc/passwd", "..", "../a.safetensors", "a.safetensors", "F32", "BF16", "U8", "I32",
    [], [0], [1, 1], [0, 2**62], [-1, 4], [[]], {}, {"": 0},
)

_MOST_PLACES = 10_000   # and an end for an object that holds itself


def change_values(value: Any, chance: random.Random) -> None:
    """Change one to four places of a JSON object or list, in place."""
    for _ in range(chance.randint(1, 4)):
        places = _places(value)
        if not places:
            return
        holder, key = chance.choice(places)
        chance.choice((_replace, _replace, _nudge, _remove, _double, _swap))(holder, key, chance)


def change_json(text: bytes, chance: random.Random) -> bytes | None:
    """``text`` with some of its values changed; None if it is no JSON object or list.

    Also where it would hold itself afterwards, which no text can.
    """
    try:
        value = json.loads(text)
        if not isinstance(value, dict | list):
            return None
        change_values(value, chance)
        return json.dumps(value).encode()
    except (ValueError, RecursionError):
        return None


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every container in ``value`` with every key or index of it."""
    found, left = [], [value]
    while left and len(found) < _MOST_PLACES:
        holder = left.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder))
        for key in keys:
            found.append((holder, key))
            if isinstance(holder[key], dict | list):
                left.append(holder[key])
    return found


def _replace(holder: Any, key: Any, chance: random.Random) -> None:
    holder[key] = deepcopy(chance.choice(VALUES))


def _nudge(holder: Any, key: Any, chance: random.Random) -> None:
    """A number a little or a power of two away from what it was."""
    if isinstance(holder[key], int):
        holder[key] += chance.choice((-1, 1)) << chance.choice((0, 1, 3, 6, 16, 31, 32, 63))
    else:
        _replace(holder, key, chance)


def _remove(holder: Any, key: Any, chance: random.Random) -> None:
    del chance, holder[key]


def _double(holder: Any, key: Any, chance: random.Random) -> None:
    """One more entry of the same value."""
    if isinstance(holder, dict):
        holder[chance.choice(("x", "", "../x", f"{key}."))] = holder[key]
    else:
        holder.insert(key, holder[key])


def _swap(holder: Any, key: Any, chance: random.Random) -> None:
    """Two entries of one container change places."""
    other = chance.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    holder[key], holder[other] = holder[other], holder[key]


Change = Callable[[bytes, random.Random], bytes]


def change_prefixed(width: int, behind: Change | None = None) -> Change:
    """A mutator of ``length``, ``width`` bytes little-endian, JSON of that length, and the rest.

    The length is made to fit. ``behind`` changes the rest instead, half of the time.
    """

    def change(data: bytes, chance: random.Random) -> bytes:
        end = width + int.from_bytes(data[:width], "little")
        text, rest = data[width:end], data[end:]
        if behind is not None and chance.randrange(2):
            return data[:end] + behind(rest, chance)
        changed = change_json(text, chance) if len(text) == end - width else None
        if changed is None:
            return data
        return len(changed).to_bytes(width, "little") + changed + rest

    return change
