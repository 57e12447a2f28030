"""Number formats, one file each: ternary, INT4 (with INT3 and INT2), HLQ, INT8, FP8, FP4 in blocks.

Importing a format's module registers it. A new format is one file beside these, one line here,
and one row in the table of ``tests/support/format_table.py``.
"""

from .base import Codes, Format, PackedWeight, TensorLayout, format_from_spec, known_formats
from .fp8 import Fp8
from .grouped_int import Int2, Int3, Int4
from .grouped_ternary import GroupedTernary
from .hlq import Hlq2, Hlq3
from .int4_fp8 import Int4Fp8
from .int8 import Int8
from .mxfp4 import Mxfp4
from .nvfp4 import Nvfp4
from .ternary import Ternary
from .ternary_planes import TernaryPlanes

__all__ = [
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
    "known_formats",
]
