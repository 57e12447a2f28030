"""Embeddings and heads as the runtime has them, and as the hardware's words."""

import numpy as np

from trilobite.hw.vocabulary.vocabulary_layout import VocabularyLayout
from trilobite.quant.formats import Int4, Int8

FORMATS = {8: Int8(), 4: Int4(group_size=None)}


def random_vocabulary(rng, rows, width, bits):
    """A packed weight [rows, width]; every third row is the one before it, so that logits tie."""
    matrix = rng.standard_normal((rows, width), np.float32)
    matrix *= np.float32(2) ** rng.integers(-6, 3, (rows, 1))
    matrix[2::3] = matrix[1::3][:len(matrix[2::3])]
    return FORMATS[bits].quantize(matrix)


def vocabulary_words(weight, word_bytes):
    """The layout of a packed weight, and its words."""
    bits = next(bits for bits, form in FORMATS.items() if form == weight.format)
    layout = VocabularyLayout(word_bytes, weight.shape[1], bits)
    codes = weight.codes()
    return layout, layout.pack(codes.values, codes.scale.ravel())
