"""Folders of strangers: a changed journal, planted names, odd files, links to elsewhere."""

import json
import os
import random
import shutil

import pytest

from support.json_mutations import change_json
from support.llama_folder import contents, write_llama
from trilobite.errors import CheckpointError, OutputError, TrilobiteError
from trilobite.quant.checkpoint import open_checkpoint
from trilobite.quant.export import EXPORTERS, export
from trilobite.quant.output.atomic import OutputFile
from trilobite.quant.pipeline import quantize
from trilobite.quant.pipeline.journal import JOURNAL
from trilobite.tools.progress import Silent

TRIES = 40


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source") / "llama"
    write_llama(folder)
    return folder


@pytest.fixture(scope="module")
def whole(llama, tmp_path_factory):
    """What a run writes that was not interrupted."""
    out = tmp_path_factory.mktemp("whole") / "out"
    quantize(llama, out, "int8")
    return contents(out)


@pytest.fixture(scope="module")
def unfinished(llama, tmp_path_factory):
    """The folder that a run leaves which was killed at its twentieth tensor."""
    out = tmp_path_factory.mktemp("killed") / "out"
    kept = out.with_name("kept")

    class Stop(Silent):
        left = 20

        def finished(self, record):
            self.left -= 1
            if not self.left:
                shutil.copytree(out.with_name(".out.trilobite-partial"), kept)

    quantize(llama, out, "int8", progress=Stop())
    return kept


def hostile_journal(text, chance):
    """A journal whose lines have other values, or bytes, or are too many, or in another order."""
    lines = text.splitlines()
    kind = chance.randrange(6)
    if kind < 3:
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(lines))
            lines[place] = change_json(lines[place], chance) or lines[place]
    elif kind == 3:
        chance.shuffle(lines)
    elif kind == 4:
        lines[chance.randrange(1, len(lines))] = chance.choice(
            (b"[" * 100_000, b"[]", b"1", b'{"record": []}', b'{"record": {"name": []}}', b"\xff",
             b'{"record": {"name": "lm_head.weight"}, "sha256": [1]}', b"9" * 5000)
        )
    else:
        lines += lines * 3
    return b"\n".join(lines) + b"\n"


@pytest.mark.parametrize("seed", range(TRIES))
def test_a_changed_journal_gives_the_same_bytes_all_the_same(
    llama, whole, unfinished, tmp_path, seed
):
    partial = tmp_path / ".out.trilobite-partial"
    shutil.copytree(unfinished, partial)
    journal = partial / JOURNAL
    journal.write_bytes(hostile_journal(journal.read_bytes(), random.Random(seed)))
    quantize(llama, tmp_path / "out", "int8")
    written = contents(tmp_path / "out")
    assert sorted(written) == sorted(whole)
    assert all(written[name] == whole[name] for name in whole if name != "manifest.json")
    assert sized(written["manifest.json"]) == sized(whole["manifest.json"])


def sized(manifest):
    """A manifest without the errors, which a journal can misstate without being found out."""
    value = json.loads(manifest)
    for record in value["tensors"]:
        del record["nmse"], record["max_abs_error"]
    return value


def test_a_file_that_a_stranger_made_longer_is_cut(llama, whole, unfinished, tmp_path):
    partial = tmp_path / ".out.trilobite-partial"
    shutil.copytree(unfinished, partial)
    with (partial / "model.safetensors").open("ab") as file:
        file.write(b"x" * 100_000)
    quantize(llama, tmp_path / "out", "int8")
    assert contents(tmp_path / "out")["model.safetensors"] == whole["model.safetensors"]


@pytest.mark.parametrize("plant", ["symbolic", "hard"])
def test_a_planted_link_in_an_unfinished_folder_is_not_written_through(
    llama, whole, unfinished, tmp_path, plant
):
    partial, victim = tmp_path / ".out.trilobite-partial", tmp_path / "victim"
    shutil.copytree(unfinished, partial)
    (partial / "model.safetensors").rename(victim)
    before = victim.read_bytes()
    link = partial / "model.safetensors"
    link.symlink_to(victim) if plant == "symbolic" else link.hardlink_to(victim)
    quantize(llama, tmp_path / "out", "int8")
    assert victim.read_bytes() == before
    assert contents(tmp_path / "out") == whole


def test_a_planted_unfinished_folder_that_is_a_link_is_not_followed(llama, whole, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("precious")
    (tmp_path / ".out.trilobite-partial").symlink_to(elsewhere)
    quantize(llama, tmp_path / "out", "int8")
    assert [path.name for path in elsewhere.iterdir()] == ["precious"]
    assert contents(tmp_path / "out") == whole


@pytest.mark.parametrize("plant", ["symbolic", "hard"])
def test_a_planted_link_beside_an_export_is_not_written_through(tmp_path, plant):
    victim, link = tmp_path / "victim", tmp_path / ".m.gguf.trilobite-partial"
    victim.write_text("precious")
    link.symlink_to(victim) if plant == "symbolic" else link.hardlink_to(victim)
    with OutputFile(tmp_path / "m.gguf", tmp_path / "source", 0, overwrite=False) as output:
        with output.path.open("r+b") as file:
            file.write(b"model")
        output.commit()
    assert victim.read_text() == "precious"
    assert (tmp_path / "m.gguf").read_bytes() == b"model"
    assert not (tmp_path / "m.gguf").is_symlink()


@pytest.mark.parametrize("out", ["/dev/null", "pipe"])
def test_a_model_is_not_written_over_a_device_or_a_pipe(tmp_path, out):
    os.mkfifo(tmp_path / "pipe")
    with (
        pytest.raises(OutputError, match="pipe or a device"),
        OutputFile(tmp_path / out, tmp_path / "source", 0, overwrite=True),
    ):
        raise AssertionError


ODD = {
    "pipe": os.mkfifo,
    "endless": lambda path: path.symlink_to("/dev/zero"),
    "dangling": lambda path: path.symlink_to("nowhere"),
    "looping": lambda path: path.symlink_to(path.name),
    "folder": lambda path: path.mkdir(),
    "elsewhere": lambda path: path.symlink_to("/etc/hostname"),
}
FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
         "generation_config.json", "manifest.json", "model.safetensors.index.json")


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("name", FILES)
def test_an_odd_file_in_a_models_folder_is_refused_or_not_read(llama, tmp_path, name, kind):
    model = tmp_path / "model"
    shutil.copytree(llama, model)
    (model / name).unlink(missing_ok=True)
    ODD[kind](model / name)
    before = sorted(tmp_path.iterdir())
    for act in (lambda: quantize(model, tmp_path / "out", "int8"),
                lambda: export(model, tmp_path / "hf", EXPORTERS["hf"], "float32", False)):
        try:
            act()
        except TrilobiteError as error:
            assert name in str(error) or str(model) in str(error)
            assert sorted(tmp_path.iterdir()) == before
        else:   # nothing of it was needed, and nothing of it was copied
            assert name in ("manifest.json", "model.safetensors.index.json")
            for out in ("out", "hf"):
                shutil.rmtree(tmp_path / out, ignore_errors=True)


def test_what_is_copied_along_is_known_by_name(llama, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(llama, model)
    (model / "tokenizer_notes.json").symlink_to("/etc/hostname")
    (model / "tokenizer_x.json").mkdir()
    (model / "merges.txt").write_text("a b\n")
    with open_checkpoint(model) as checkpoint:
        assert sorted(checkpoint.companions()) == ["merges.txt", "tokenizer.json"]


@pytest.mark.parametrize("source", ["a" * 5000, "~nosuchuser/model", "a\0b"])
def test_a_path_that_is_none_is_refused(source):
    with pytest.raises(CheckpointError):
        open_checkpoint(source)
