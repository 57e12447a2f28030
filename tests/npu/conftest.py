"""What is simulated here is small: it is compiled without optimization."""

from support.quick_builds import quick_builds

__all__ = ["quick_builds"]
