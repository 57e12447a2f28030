"""Vocabularies that are no tokenizer.json: SentencePiece, tiktoken's rule and llama.cpp judge."""

import base64
import io
import itertools
import json

import numpy as np
import pytest

import trilobite
from support.gguf_judge import tokenize
from support.llama_folder import write_llama
from trilobite.errors import CheckpointError
from trilobite.quant.checkpoint import open_checkpoint
from trilobite.quant.checkpoint.gguf import GgufFile
from trilobite.quant.checkpoint.vocabularies import made_tokenizer
from trilobite.quant.checkpoint.vocabularies.byte_level import SPLITS
from trilobite.quant.checkpoint.vocabularies.pieces import BYTE, CONTROL, NORMAL, merges_of
from trilobite.quant.checkpoint.vocabularies.sentencepiece import read_sentencepiece
from trilobite.quant.export import EXPORTERS, export
from trilobite.quant.pipeline import quantize
from trilobite.runtime.text import Tokenizer

TEXTS = (
    "the model reads the text", " two  blanks  and three   ", "Größe, naïve café", "😀 emoji 漢字",
    "line\nbreak\tand tab", "", " ", "▁ the sign itself", "▁", "123 45,678.9", "<sep>the<sep> x",
)
CORPUS = [
    "the quick brown fox jumps over the lazy dog", "a model reads text and writes text",
    "Größe und naïve café", "numbers 12 345 6789", "def main(arguments): return 0",
    "emoji 😀 and 漢字",
] * 40


def trained(**options):
    """A small SentencePiece model, as bytes and as the library that judges."""
    library = pytest.importorskip("sentencepiece")
    written = io.BytesIO()
    library.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS), model_writer=written, hard_vocab_limit=False,
        minloglevel=2, num_threads=1, **{"vocab_size": 400, **options})
    return written.getvalue(), library.SentencePieceProcessor(model_proto=written.getvalue())


MODELS = {
    "llama": {"model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity",
              "remove_extra_whitespaces": False},
    "gemma": {"model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity",
              "remove_extra_whitespaces": False, "add_dummy_prefix": False,
              "user_defined_symbols": ["<sep>", "the"]},
    "bpe": {"model_type": "bpe"},
    "unigram": {"model_type": "unigram", "vocab_size": 150},
    "unigram-bytes": {"model_type": "unigram", "vocab_size": 400, "byte_fallback": True,
                      "user_defined_symbols": ["<sep>"]},
}


@pytest.mark.parametrize("name", MODELS)
def test_sentencepiece_splits_in_the_same_way(tmp_path, name):
    data, judge = trained(**MODELS[name])
    (tmp_path / "tokenizer.model").write_bytes(data)
    ours = Tokenizer(tmp_path / "tokenizer.json", judge.bos_id())
    for text in TEXTS:
        ids = ours.encode(text)
        assert ids == [judge.bos_id(), *judge.encode(text)], text
        if MODELS[name].get("byte_fallback"):
            assert ours.decode(ids) == judge.decode(judge.encode(text)), text


def field(number, kind, payload):
    key = bytes([number << 3 | kind]) if number < 16 else bytes(
        [(number << 3 | kind) & 127 | 128, number >> 4])
    return key + (bytes([len(payload)]) + payload if kind == 2 else payload)


def piece(text, score, kind=NORMAL):
    inner = field(1, 2, text.encode()) + field(2, 5, np.float32(score).tobytes())
    return field(1, 2, inner + field(3, 0, bytes([kind])))


TRAINER = field(2, 2, field(3, 0, b"\2") + field(35, 0, b"\1"))   # BPE, bytes
PLAIN = field(3, 2, field(3, 0, b"\1") + field(4, 0, b"\0"))      # a dummy prefix, blanks kept
BYTES = [(f"<0x{byte:02X}>", 0, BYTE) for byte in range(256)]
WORDS = [("▁", -9), ("a", -7), ("b", -8), ("ab", -1), ("▁ab", -2), ("ba", -3), ("aba", -4)]


def by_hand(words=(), normalizer=PLAIN):
    entries = [("<unk>", 0, 2), ("<s>", 0, CONTROL), ("</s>", 0, CONTROL), *BYTES, *WORDS, *words]
    return b"".join(piece(*entry) for entry in entries) + TRAINER + normalizer


def test_a_model_by_hand(tmp_path):
    pieces = read_sentencepiece(by_hand(), "by hand")
    assert len(pieces.tokens) == 3 + 256 + 7
    assert (pieces.unknown, pieces.begin, pieces.byte_fallback) == (0, 1, True)
    assert merges_of(pieces) == [["a", "b"], ["▁", "ab"], ["b", "a"], ["a", "ba"], ["ab", "a"]]
    (tmp_path / "tokenizer.model").write_bytes(by_hand())
    tokens = Tokenizer(tmp_path / "tokenizer.json", 1)
    first = 3 + 256
    # "▁abab": both "ab" merge first, then "▁ab"; "é" is two bytes.
    assert tokens.encode("abab") == [1, first + 4, first + 3]
    assert tokens.encode("é", begin=False) == [first, 3 + 0xC3, 3 + 0xA9]


def test_settings_beside_it_say_whether_a_text_begins_with_a_token(tmp_path):
    (tmp_path / "tokenizer.model").write_bytes(by_hand())
    (tmp_path / "tokenizer_config.json").write_text('{"add_bos_token": false}')
    assert Tokenizer(tmp_path / "tokenizer.json", 1).encode("a")[0] != 1


@pytest.mark.parametrize(("data", "said"), [
    (by_hand()[:-3], "ends inside of a field"),
    (b"\xff" * 12, "ends inside of a number"),
    (b"\x0b", "no protocol buffer: a field of the kind 3"),
    (b"\x08\x01", "a number stands for a message"),
    (b"", "has no pieces"),
    (by_hand([("ab", 0)]), 'the piece "ab" comes twice'),
    (by_hand([("x" * 100, 0), ("", 0)]), 'the piece "" has not 1 to 512'),
    (by_hand([("nan", np.nan)]), "has the score nan"),
    (by_hand([("odd", 0, 9)]), "the type 9"),
    (by_hand() + field(2, 2, field(3, 0, b"\3")), "words or characters (model type 3)"),
    (by_hand(normalizer=field(3, 2, field(2, 2, bytes(8)))), "table of characters is cut short"),
    (by_hand() + field(2, 2, field(24, 0, b"\1")), "blanks at the ends"),
    (by_hand() + field(2, 2, field(3, 0, b"\2") + field(41, 0, b"\xff\x7f")), "token is 16383"),
])
def test_a_damaged_model_is_refused(tmp_path, data, said):
    (tmp_path / "tokenizer.model").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"tokenizer\.model") as error:
        Tokenizer(tmp_path / "tokenizer.json")
    assert said in str(error.value)


TOKENS = [
    *(bytes([byte]) for byte in range(256)), b"he", b"ll", b"llo", b"hello", b" w", b"\xc3\xa9",
]


def tekken(**changes):
    content = {
        "config": {"pattern": SPLITS["llama-bpe"], "num_vocab_tokens": len(TOKENS),
                   "default_vocab_size": len(TOKENS) + 4, "default_num_special_tokens": 4,
                   "version": "v7"},
        "vocab": [{"rank": rank, "token_bytes": base64.b64encode(token).decode(), "token_str": None}
                  for rank, token in enumerate(TOKENS)],
        "special_tokens": [{"rank": rank, "token_str": name, "is_control": True}
                           for rank, name in enumerate(("<unk>", "<s>", "</s>"))],
    }
    return content | changes


def ranked(data):
    """tiktoken's rule: of two neighbours those merge first whose bytes have the lowest rank."""
    ranks = {token: rank for rank, token in enumerate(TOKENS)}
    parts = [bytes([byte]) for byte in data]
    while True:
        found = [(ranks[a + b], i) for i, (a, b) in enumerate(itertools.pairwise(parts))
                 if a + b in ranks]
        if not found:
            return [4 + ranks[part] for part in parts]
        _, i = min(found)
        parts[i:i + 2] = [parts[i] + parts[i + 1]]


def test_tekken_merges_by_rank(tmp_path):
    (tmp_path / "tekken.json").write_text(json.dumps(tekken()))
    tokens = Tokenizer(tmp_path / "tokenizer.json", 1)
    for words in (["hello"], ["hello", " world"], ["hell"], ["é"], ["lllo"]):
        expected = [token for word in words for token in ranked(word.encode())]
        assert tokens.encode("".join(words)) == [1, *expected]
        assert tokens.decode(expected) == "".join(words)
    assert tokens.encode("</s>", begin=False) == [2]


@pytest.mark.parametrize(("changes", "said"), [
    ({"config": None}, 'it needs "config" and "vocab"'),
    ({"vocab": tekken()["vocab"][1:]}, "the token of rank 0 is"),
    ({"vocab": [*tekken()["vocab"][:256], {"rank": 256, "token_bytes": "?"}]}, "the token of rank"),
    ({"vocab": tekken()["vocab"][:255]}, "not all 256 bytes"),
    ({"special_tokens": [{"rank": 9, "token_str": "<s>"}]}, "the special token"),
    ({"config": {**tekken()["config"], "pattern": 3}}, '"pattern" is 3'),
    ({"config": {**tekken()["config"], "default_vocab_size": -1}}, '"default_vocab_size" is -1'),
])
def test_a_damaged_tekken_is_refused(tmp_path, changes, said):
    (tmp_path / "tekken.json").write_text(json.dumps(tekken(**changes)))
    with pytest.raises(CheckpointError, match=r"tekken\.json") as error:
        Tokenizer(tmp_path / "tokenizer.json")
    assert said in str(error.value)


def demo_parts(folder, kind):
    """vocab.json and merges.txt of the demo's tokenizer.json."""
    with open_checkpoint("demo-llama") as checkpoint:
        content = json.loads((checkpoint.folder / "tokenizer.json").read_text())
    model = content["model"]
    pairs = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(pairs) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": kind}))
    return content


def test_vocab_and_merges_split_as_the_whole_file(tmp_path):
    content = demo_parts(tmp_path, "GPT2Tokenizer")
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "tokenizer.json").write_text(json.dumps(content))
    whole = Tokenizer(tmp_path / "whole" / "tokenizer.json")
    parts = Tokenizer(tmp_path / "tokenizer.json")
    text = "class Größe:\n\tdef f(self): return '😀'  # 3.14\n"
    assert parts.encode(text) == whole.encode(text, begin=False)
    demo_parts(tmp_path, "Qwen2TokenizerFast")
    assert Tokenizer(tmp_path / "tokenizer.json").decode(parts.encode(text)) == text


def test_a_class_that_is_not_known_is_refused(tmp_path):
    demo_parts(tmp_path, "OddTokenizer")
    with pytest.raises(CheckpointError, match="for a .OddTokenizer., which splits text in a way"):
        Tokenizer(tmp_path / "tokenizer.json")


def test_a_line_that_is_no_merge_is_refused(tmp_path):
    demo_parts(tmp_path, "GPT2Tokenizer")
    (tmp_path / "merges.txt").write_text("a b c\n")
    with pytest.raises(CheckpointError, match="holds the line .a b c.; a merge is two tokens"):
        Tokenizer(tmp_path / "tokenizer.json")


def test_nothing_to_make_one_of_is_said(tmp_path):
    assert made_tokenizer({}.get, "nowhere") is None
    with pytest.raises(CheckpointError, match="makes one: tokenizer.model, tekken.json, or"):
        Tokenizer(tmp_path / "tokenizer.json")


def sentencepiece_folder(tmp_path):
    folder = tmp_path / "llama"
    write_llama(folder, vocab_size=3 + 256 + 7, bos_token_id=1, eos_token_id=2)
    (folder / "tokenizer.json").unlink(missing_ok=True)
    (folder / "tokenizer.model").write_bytes(by_hand())
    return folder


def test_a_quantized_folder_and_a_gguf_file_have_the_tokenizer(tmp_path):
    folder = sentencepiece_folder(tmp_path)
    quantize(folder, tmp_path / "int8", "int8")
    assert (tmp_path / "int8" / "tokenizer.json").exists()
    expected = trilobite.load(folder).tokenizer.encode("abab é  ba")
    assert trilobite.load(tmp_path / "int8").tokenizer.encode("abab é  ba") == expected
    out = tmp_path / "out.gguf"
    export(folder, out, EXPORTERS["gguf"])
    with GgufFile(out) as file:
        assert file.metadata["tokenizer.ggml.model"] == "llama"
        types = file.metadata["tokenizer.ggml.token_type"].tolist()
        assert types[:4] == [2, 3, 3, 6] and types[-1] == 1
    back = trilobite.load(out).tokenizer
    for text in ("abab é  ba", "", " a", "ababab"):
        assert back.encode(text) == trilobite.load(folder).tokenizer.encode(text), text
    pytest.importorskip("llama_cpp")
    for text in ("abab é  ba", "a", "ababab\n"):
        assert tokenize(out, text) == back.encode(text), text


def test_a_real_vocabulary_goes_through_gguf_as_llama_cpp_has_it(tmp_path):
    data, judge = trained(**MODELS["llama"])
    folder = tmp_path / "llama"
    write_llama(folder, vocab_size=judge.vocab_size())
    (folder / "tokenizer.json").unlink(missing_ok=True)
    (folder / "tokenizer.model").write_bytes(data)
    export(folder, tmp_path / "out.gguf", EXPORTERS["gguf"])
    back = trilobite.load(tmp_path / "out.gguf").tokenizer
    for text in TEXTS[:7]:
        assert back.encode(text, begin=False) == judge.encode(text)
    pytest.importorskip("llama_cpp")
    for text in TEXTS[:5]:
        assert tokenize(tmp_path / "out.gguf", text) == back.encode(text), text


def test_an_end_token_that_only_the_settings_name_is_found(tmp_path):
    folder = tmp_path / "llama"
    write_llama(folder, vocab_size=3 + 256 + 7, bos_token_id=1, eos_token_id=None)
    (folder / "tokenizer.json").unlink(missing_ok=True)
    (folder / "tokenizer.model").write_bytes(by_hand())
    (folder / "tokenizer_config.json").write_text('{"eos_token": "</s>"}')
    with open_checkpoint(folder) as checkpoint:
        assert checkpoint.config.eos_token_ids == (2,)


def test_user_defined_pieces_are_taken_whole_in_gguf_too(tmp_path):
    data, judge = trained(**{**MODELS["gemma"], "user_defined_symbols": ["<sep>", "a|b", "c\\"]})
    folder = tmp_path / "llama"
    write_llama(folder, vocab_size=judge.vocab_size())
    (folder / "tokenizer.json").unlink(missing_ok=True)
    (folder / "tokenizer.model").write_bytes(data)
    export(folder, tmp_path / "out.gguf", EXPORTERS["gguf"])
    with GgufFile(tmp_path / "out.gguf") as file:
        types = file.metadata["tokenizer.ggml.token_type"].tolist()
        assert types.count(4) == 3 and file.metadata["tokenizer.ggml.add_space_prefix"] is False
    back = trilobite.load(tmp_path / "out.gguf").tokenizer
    for text in ("<sep>the a|b fox", "c\\ or a|bc\\"):
        assert back.encode(text, begin=False) == judge.encode(text)


def tokenizer_json(folder, change):
    content = json.loads(made_tokenizer({"tokenizer.model": by_hand()}.get, str(folder)))
    change(content)
    (folder / "tokenizer.model").unlink()
    (folder / "tokenizer.json").write_text(json.dumps(content))


@pytest.mark.parametrize(("change", "said"), [
    (lambda c: c["model"]["merges"].reverse() or c["model"]["merges"].insert(0, ["a", "b"]),
     '"ab" is made by merges of different urgency'),
    (lambda c: c["model"]["merges"].pop(0), "llama.cpp would merge"),
    (lambda c: c.update(normalizer={"type": "NFKC"}), "has no counterpart in llama.cpp's"),
    (lambda c: c.update(normalizer=None, pre_tokenizer=None), "blanks are not written as"),
])
def test_what_llama_cpp_would_split_otherwise_is_refused(tmp_path, change, said):
    folder = sentencepiece_folder(tmp_path)
    tokenizer_json(folder, change)
    with pytest.raises(CheckpointError, match=r"tokenizer\.json") as error:
        export(folder, tmp_path / "out.gguf", EXPORTERS["gguf"])
    assert said in str(error.value)
