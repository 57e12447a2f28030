"""Tokenizers of strangers: a small byte-level one, and every part that can be set badly."""

import json
from copy import deepcopy

from tokenizers.pre_tokenizers import ByteLevel

WORDS = ("he", "ll", "llo", "hello", "Ġw")
TEXT = "hello world, hello ¶\n  x" * 3


def tokenizer_json(**changes):
    """A tokenizer.json of byte-level BPE, with top-level parts changed."""
    letters = sorted(ByteLevel.alphabet())
    vocab = {token: index for index, token in enumerate(["<s>", "</s>", *letters, *WORDS])}
    content = {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [
            {"id": index, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": True} for index, token in enumerate(("<s>", "</s>"))
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                          "use_regex": True},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True,
                    "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None,
                  "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False,
                  "byte_fallback": False, "ignore_merges": False, "vocab": vocab,
                  "merges": [["h", "e"], ["l", "l"], ["ll", "o"], ["he", "llo"], ["Ġ", "w"]]},
    }
    return {**content, **deepcopy(changes)}


def replace(pattern, content):
    return {"type": "Replace", "pattern": pattern, "content": content}


def template(*pieces, known=()):
    return {"type": "TemplateProcessing", "single": list(pieces), "pair": [],
            "special_tokens": {name: {"id": name, "ids": [0], "tokens": [name]} for name in known}}


def special(name):
    return {"SpecialToken": {"id": name, "type_id": 0}}


def sequence(name):
    return {"Sequence": {"id": name, "type_id": 0}}


PADDING = {"strategy": {"Fixed": 8}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0,
           "pad_type_id": 0, "pad_token": "<s>"}
TRUNCATION = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}


def seeds():
    """Tokenizers that are used as they are, and whose parts mutations change."""
    return [json.dumps(tokenizer_json(**changes)).encode() for changes in (
        {},
        {"padding": PADDING, "truncation": TRUNCATION},
        {"normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "x"}, replace({"String": "l"}, "L"), {"type": "NFC"}]}},
        {"post_processor": template(special("<s>"), sequence("A"), known=["<s>"])},
        {"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "o+| "}, "behavior": "Isolated",
                           "invert": False}},
        {"model": {"type": "WordPiece", "unk_token": "x", "continuing_subword_prefix": "##",
                   "max_input_chars_per_word": 100, "vocab": {"x": 0, "h": 1, "##e": 2}}},
        {"model": {"type": "Unigram", "unk_id": 0, "vocab": [["x", 0.0], ["h", -1.0]]}},
    )]
