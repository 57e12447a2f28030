"""The kind of processor that this process runs on: inner loops for another one are not compiled."""

from __future__ import annotations

import platform

__all__ = ["ON_ARM"]

ON_ARM = platform.machine().lower() in ("aarch64", "arm64")
