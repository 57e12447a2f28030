"""ONNX: weights in its types and operators, and models of strangers, read piece by piece.

The package ``onnx`` (the extra ``onnx``) is imported by the modules in here and nowhere else, so
whoever uses them calls ``require_onnx`` first.
"""

from .package import require_onnx

__all__ = ["require_onnx"]
