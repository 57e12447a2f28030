"""Images as folders: what was written is read, and what is damaged is refused by a sentence."""

import hashlib
import json
import shutil

import pytest

from support.tiny_accelerator import MODEL, TINY
from trilobite.errors import CheckpointError, OutputError
from trilobite.fpga.compiler import compile_model
from trilobite.fpga.image import image_of
from trilobite.fpga.image_file import is_image, read_image, write_image
from trilobite.fpga.registers import configuration_hash
from trilobite.quant.formats import Ternary
from trilobite.runtime.random_weights import random_weights


@pytest.fixture(scope="module")
def image():
    program = compile_model(MODEL, random_weights(MODEL, Ternary()), TINY, 24)
    return image_of(program, "tiny", 24)


@pytest.fixture(scope="module")
def sound(image, tmp_path_factory):
    folder = tmp_path_factory.mktemp("images") / "sound"
    write_image(image, folder, "1.2", {"tokenizer.json": b"{}"})
    return folder


@pytest.fixture
def folder(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "image")


def test_what_was_written_is_read(image, sound):
    read = read_image(sound)
    assert is_image(sound)
    for name in ("name", "configuration", "word_bytes", "capacity", "vocab_size", "begin_token",
                 "end_tokens", "program", "tiles", "tile_count", "nbytes"):
        assert getattr(read, name) == getattr(image, name), name
    assert read.configuration == configuration_hash(TINY)
    assert dict(read.regions) == dict(image.regions)
    assert read.contents.keys() == image.contents.keys()
    assert all(read.contents[name] == image.contents[name] for name in image.contents)
    assert b"".join(content for _, content in read.pieces(100)) == (
        sound / "memory.bin").read_bytes()
    assert (sound / "tokenizer.json").read_bytes() == b"{}"


def test_the_same_image_is_the_same_bytes(image, sound, tmp_path):
    write_image(image, tmp_path / "again", "1.2", {})
    for name in ("manifest.json", "memory.bin"):
        assert (tmp_path / "again" / name).read_bytes() == (sound / name).read_bytes()


def test_a_folder_is_replaced_only_where_asked_for(image, folder):
    with pytest.raises(OutputError, match="exists"):
        write_image(image, folder, "1.2", {})
    write_image(image, folder, "1.2", {}, overwrite=True)
    assert not (folder / "tokenizer.json").exists()


def changed(folder, change):
    """Let ``change`` write into the manifest."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def region(manifest, name):
    return next(one for one in manifest["regions"] if one["name"] == name)


CHANGES = {
    "another format": (lambda m: m.update(format="x"), '"format" is "x"'),
    "a later version": (lambda m: m.update(version=2), '"version" is 2'),
    "other parameters": (lambda m: m["parameters"].update(lanes=4), '"configuration" is'),
    "no hash": (lambda m: m.pop("configuration"), '"configuration" is null'),
    "an unknown field": (lambda m: m.update(spare=1), 'the field "spare"'),
    "no capacity": (lambda m: m.pop("capacity"), '"capacity" is missing'),
    "too large a capacity": (lambda m: m.update(capacity=10_000), "must hold 10001 tokens"),
    "a name that moves the cursor": (lambda m: m.update(name="\x1b[2J"), '"name" is'),
    "an end token outside": (lambda m: m.update(end_tokens=[48]), '"end_tokens" is'),
    "no regions": (lambda m: m.update(regions=[]), '"regions" is'),
    "a region that is none": (lambda m: m["regions"].append(3), r"regions\[\d+\] is 3"),
    "regions that overlap": (
        lambda m: m["regions"][1].update(start=0), r'regions\[1\]: "start" is 0'),
    "a region twice": (lambda m: m["regions"][1].update(name="tokens"), '"name" is "tokens"'),
    "a region beyond 2^32 words": (
        lambda m: m["regions"][-1].update(words=1 << 32), "below 2.32 words"),
    "an offset of its own": (
        lambda m: region(m, "program").update(offset=0), '"offset" is 0'),
    "contents that are longer": (
        lambda m: m["regions"][-1].update(words=m["regions"][-1]["words"] + 1), "regions hold"),
    "a program elsewhere": (lambda m: m["run"].update(program=3), "run's 'program' is 3"),
    "too many tiles": (lambda m: m["run"].update(tile_count=10_000), "run's 'tiles' is"),
    "no tokens": (lambda m: region(m, "tokens").update(name="x"), "region 'tokens' must hold"),
    "no logits": (lambda m: region(m, "logits").update(name="x"), "region 'logits' must hold 48"),
    "no program": (lambda m: region(m, "program").update(name="x"), "no region 'program'"),
    "another checksum": (lambda m: m["memory"].update(sha256="0" * 64), "is damaged"),
    "another size": (lambda m: m["memory"].update(bytes=7), "json says 7"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_manifest_that_is_wrong_is_refused(folder, name):
    change, message = CHANGES[name]
    changed(folder, change)
    with pytest.raises(CheckpointError, match=message):
        read_image(folder)


def test_damaged_memory_is_refused(folder):
    memory = folder / "memory.bin"
    content = bytearray(memory.read_bytes())
    content[len(content) // 2] ^= 1
    memory.write_bytes(content)
    with pytest.raises(CheckpointError, match="memory.bin is damaged: its SHA-256 is"):
        read_image(folder)
    memory.write_bytes(content[:-1])
    with pytest.raises(CheckpointError, match="bytes, and manifest.json says"):
        read_image(folder)
    memory.unlink()
    with pytest.raises(CheckpointError, match="memory.bin cannot be read"):
        read_image(folder)


def test_memory_that_lies_elsewhere_is_refused(folder, sound):
    (folder / "memory.bin").unlink()
    (folder / "memory.bin").symlink_to(sound / "memory.bin")
    with pytest.raises(CheckpointError, match="outside of its folder"):
        read_image(folder)


def test_a_sound_checksum_is_that_of_the_bytes(sound):
    manifest = json.loads((sound / "manifest.json").read_text())
    memory = (sound / "memory.bin").read_bytes()
    assert manifest["memory"] == {"bytes": len(memory),
                                  "sha256": hashlib.sha256(memory).hexdigest()}


def test_other_folders_are_no_images(tmp_path):
    assert not is_image(tmp_path)
    (tmp_path / "manifest.json").write_text("[]")
    assert not is_image(tmp_path)
