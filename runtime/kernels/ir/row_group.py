"""The group of rows that every fast kernel takes at a time, whatever its instruction set."""

__all__ = ["ROWS", "STEP"]

ROWS = 64
STEP = 4 * ROWS   # bytes of a panel's step: four columns of all rows
