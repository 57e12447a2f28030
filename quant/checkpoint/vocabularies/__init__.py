"""Vocabularies that are no tokenizer.json: read, bounded, and written as one.

SentencePiece's tokenizer.model, Mistral's tekken.json, vocab.json with merges.txt.
"""

from .made import SOURCES, made_tokenizer

__all__ = ["SOURCES", "made_tokenizer"]
