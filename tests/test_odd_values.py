"""Every key of every TOML and JSON that is read, set to what nobody writes.

It is refused with a sentence that names the file and the key, or it is a key that may hold such a
value: text, or what nobody reads. What is accepted is used in ``tests/fuzz``.
"""

import json
import re
import shutil
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.estimates import KV260, LARGE, TLMM
from support.llama_folder import write_llama
from support.odd_values import ODD, changed, kinds, paths, written
from trilobite.api.inspect import inspect
from trilobite.errors import TrilobiteError
from trilobite.quant.checkpoint.files.locate import resolve
from trilobite.quant.pipeline import quantize
from trilobite.runtime.text import held_out_documents
from trilobite.sim.descriptions.accelerator import load_accelerator
from trilobite.sim.descriptions.presets import read_device
from trilobite.sim.descriptions.shapes import load_shape
from trilobite.sim.descriptions.tables import bundled_folder
from trilobite.sim.explore.lut_model import _POINTS, load_synthesized
from trilobite.sim.explore.perplexity import MEASURED, load_perplexities
from trilobite.sim.formulas.estimate import estimate
from trilobite.sim.report import read_run, report_json
from trilobite.sim.serving import read_requests

_NO_KEY = {"deep"}   # what is nested too deeply has no place
_OF_QUANTITY = {"value", "low", "nominal", "high"}   # the quantity is named instead
_EVERY = 11          # prime to the numbers of odd values


@dataclass(frozen=True)
class Reader:
    """What reads a file, and a whole one as it reads it.

    ``ours``: no user names such a file, so that its name is enough to mend it.
    """

    read: Callable[[Path], Any]
    name: str
    document: dict[str, Any]
    ours: bool = False


def bundled(folder: str, name: str) -> dict[str, Any]:
    return tomllib.loads((bundled_folder(folder) / f"{name}.toml").read_text())


@pytest.fixture(scope="module")
def readers(tmp_path_factory) -> dict[str, Reader]:
    scratch = tmp_path_factory.mktemp("models")
    write_llama(scratch / "model")
    quantize(scratch / "model", scratch / "quantized", "int8")
    training = json.loads((resolve("demo-llama") / "training.json").read_text())

    def described(load):
        return lambda path: load(str(path))

    def folder(source, name):
        def read(path):
            copy = path.with_name("folder")
            if not copy.exists():
                shutil.copytree(source, copy)
            (copy / name).write_bytes(path.read_bytes())
            return inspect(copy)

        return Reader(read, name, json.loads((source / name).read_text()))

    run = json.loads(json.dumps(report_json([estimate(LARGE, KV260, TLMM, 64, 8)])))
    return {
        **{name: Reader(described(read_device), "x.toml", bundled("devices", name))
           for name in ("kv260", "snapdragon-8-gen-3")},
        **{name: Reader(described(load_accelerator), "x.toml", bundled("accelerators", file))
           for name, file in (("formulas", "tlmm-kv260"), ("rtl", "kv260"))},
        "shape": Reader(described(load_shape), "x.toml", bundled("shapes", "bitnet-0.73b")),
        "perplexities": Reader(load_perplexities, "x.toml", tomllib.loads(MEASURED.read_text())),
        "synthesized": Reader(load_synthesized, "x.toml", tomllib.loads(_POINTS.read_text()),
                              ours=True),
        "run": Reader(read_run, "x.json", run),
        "config": folder(scratch / "model", "config.json"),
        "quantized": folder(scratch / "quantized", "config.json"),
        "manifest": folder(scratch / "quantized", "manifest.json"),
        "training": Reader(held_out_documents, "training.json", training),
        "requests": Reader(read_requests, "x.jsonl",
                           {"arrival": 0.5, "prompt": 10, "output": 4}),
    }


def cases(reader: Reader) -> Iterator[tuple[Any, str]]:
    """Where each key is, with each odd value."""
    for path in paths(reader.document):
        for odd in kinds(Path(reader.name).suffix):
            yield path, odd


def check(reader: Reader, path: tuple[str | int, ...], odd: str, folder: Path) -> str | None:
    """What is wrong with how an odd value is taken; None if nothing is."""
    file = folder / reader.name
    file.write_text(written(changed(reader.document, path, ODD[odd]), file.suffix))
    try:
        reader.read(file)
    except TrilobiteError as error:
        said = str(error)
        key = str(path[-2] if path[-1] in _OF_QUANTITY else path[-1])
        if reader.name not in said:
            return f"{path}, {odd}: the file is not named: {said[:200]}"
        named = odd in _NO_KEY or reader.ours or re.search(rf"\b{re.escape(key)}\b|line \d", said)
        return None if named else f"{path}, {odd}: the key is not named: {said[:200]}"
    except Exception as error:
        return f"{path}, {odd}: {type(error).__name__}: {str(error)[:200]}"
    return None


NAMES = ("kv260", "snapdragon-8-gen-3", "formulas", "rtl", "shape", "perplexities", "synthesized",
         "run", "config", "quantized", "manifest", "training", "requests")


@pytest.mark.parametrize("name", NAMES)
def test_the_whole_document_is_read(readers, name, tmp_path):
    reader = readers[name]
    file = tmp_path / reader.name
    file.write_text(written(reader.document, file.suffix))
    reader.read(file)


@pytest.mark.parametrize("name", NAMES)
def test_odd_values_are_refused_by_file_and_key(readers, name, tmp_path):
    """One of so many, each odd value with other keys."""
    chosen = list(cases(readers[name]))[::_EVERY]
    chosen = chosen[::1 + len(chosen) // 60]
    assert len(chosen) > 2
    assert [wrong for case in chosen if (wrong := check(readers[name], *case, tmp_path))] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_odd_value_in_every_key(readers, name, tmp_path):
    chosen = list(cases(readers[name]))
    assert [wrong for case in chosen if (wrong := check(readers[name], *case, tmp_path))] == []
