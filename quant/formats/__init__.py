"""Number formats, one file each: ternary, INT4 (with INT3 and INT2), HLQ, INT8, FP8, FP4 in blocks.

A new format is one file beside these, one line in ``registry.py``, and one row in the table of
``tests/support/format_table.py``. The names here are for those who write ``Int4(group_size=64)``.
"""

from .base import Codes, Format, PackedWeight, TensorLayout
from .fp8 import Fp8
from .grammar import parse_format
from .grouped_int import Int2, Int3, Int4
from .grouped_ternary import GroupedTernary
from .hlq import Hlq2, Hlq3
from .int4_fp8 import Int4Fp8
from .int8 import Int8
from .mxfp4 import Mxfp4
from .nvfp4 import Nvfp4
from .registry import FORMATS, format_from_spec
from .ternary import Ternary
from .ternary_planes import TernaryPlanes

__all__ = [
    "FORMATS",
    "Codes",
    "Format",
    "Fp8",
    "GroupedTernary",
    "Hlq2",
    "Hlq3",
    "Int2",
    "Int3",
    "Int4",
    "Int4Fp8",
    "Int8",
    "Mxfp4",
    "Nvfp4",
    "PackedWeight",
    "TensorLayout",
    "Ternary",
    "TernaryPlanes",
    "format_from_spec",
    "parse_format",
]
