"""The package's own source files."""

from pathlib import Path

import trilobite

__all__ = ["sources"]

_PACKAGE = Path(trilobite.__file__).parent
_OUTSIDE = {"benchmarks", "build", "docs", "examples", "tests"}


def sources() -> list[tuple[Path, str]]:
    """Name within the package, and text, of every Python file in it."""
    names = [file.relative_to(_PACKAGE) for file in sorted(_PACKAGE.rglob("*.py"))]
    return [
        (name, (_PACKAGE / name).read_text(encoding="utf-8")) for name in names
        if name.parts[0] not in _OUTSIDE and not any(part.startswith(".") for part in name.parts)
    ]
