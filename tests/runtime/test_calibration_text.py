"""Which text is drawn for calibration: by seed, not held out, from files long and short."""

import json

import numpy as np
import pytest

import trilobite
from trilobite.errors import TrilobiteError
from trilobite.quant.checkpoint import open_checkpoint
from trilobite.runtime.text import held_out_documents, training_documents


@pytest.fixture(scope="module")
def training_file():
    with open_checkpoint("demo-llama") as checkpoint:
        return checkpoint.folder / "training.json"


def test_the_default_text_holds_nothing_of_the_held_out_modules(training_file):
    documents = training_documents(training_file)
    assert len(documents) > 300
    assert not set(documents) & set(held_out_documents(training_file))


def test_the_seed_decides():
    one, same, other = (trilobite.calibration("demo-llama", sequences=5, seed=s) for s in (3, 3, 4))
    assert one.sequences.shape == (5, 512) and one.tokens == 2560
    assert one.describe() == same.describe()
    assert one.describe()["sha256"] != other.describe()["sha256"]
    assert one.describe()["source"] == "Python standard library"


def test_a_file_is_cut_into_pieces_without_overlap(tmp_path):
    text = "".join(f"value_{i} = {i}\n" for i in range(2000))
    (tmp_path / "code.py").write_text(text)
    found = trilobite.calibration("demo-llama", tmp_path / "code.py", sequences=4, seed=1)
    tokens = trilobite.load("demo-llama").tokenizer.encode_documents([text])
    windows = np.array(tokens[: len(tokens) // 512 * 512]).reshape(-1, 512).tolist()
    places = [windows.index(sequence) for sequence in found.sequences.tolist()]
    assert places == sorted(set(places)) and len(places) == 4
    assert found.describe()["source"] == "code.py"
    every = trilobite.calibration("demo-llama", tmp_path / "code.py", sequences=10_000)
    assert every.sequences.tolist() == windows


def test_a_short_file_is_one_short_sequence(tmp_path):
    (tmp_path / "short.txt").write_text("def f(x):\n    return x\n")
    found = trilobite.calibration("demo-llama", tmp_path / "short.txt")
    assert found.sequences.shape[0] == 1 and 5 < found.sequences.shape[1] < 30


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"text": "{tmp}/none.txt"}, "none.txt cannot be read"),
        ({"text": "{tmp}/binary"}, "not UTF-8"),
        ({"sequences": 0}, "at least 1 sequence"),
        ({"seed": -1}, "must not be negative"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, options, said):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    if "text" in options:
        options = {"text": options["text"].format(tmp=tmp_path)}
    with pytest.raises(TrilobiteError, match=said):
        trilobite.calibration("demo-llama", **options)


def test_a_model_without_a_default_text_needs_a_file(tmp_path):
    for damaged in (None, "[]", json.dumps({"held_out_modules": 3}), "{"):
        if damaged is not None:
            (tmp_path / "training.json").write_text(damaged)
        with pytest.raises(TrilobiteError, match=r"training\.json"):
            training_documents(tmp_path / "training.json")
