"""GGUF, the files of llama.cpp: the container, its block types, its words for models.

Nothing here runs llama.cpp or needs its packages; tests compare with them. Sources: ggml's
docs/gguf.md, the block layouts in ggml-common.h, the architectures in llama.cpp's src/models.
"""

from ..files.gguf_blocks import TYPES, BlockType
from ..files.gguf_file import GgufFile, GgufTensor

__all__ = ["TYPES", "BlockType", "GgufFile", "GgufTensor"]
