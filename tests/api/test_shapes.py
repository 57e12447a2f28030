"""Models that are estimated: shapes, config.json without weights, checkpoints and GGUF files."""

import json
import shutil
from pathlib import Path

import pytest

import trilobite
from support.command import run
from trilobite.api.shapes import find_shapes, find_stored
from trilobite.errors import EstimateError
from trilobite.sim.descriptions.shapes import load_shape, shape_names

CONFIG = Path(trilobite.__file__).parent / "checkpoints" / "demo-llama" / "config.json"


@pytest.mark.parametrize("name", shape_names())
def test_every_bundled_shape_adds_up_to_its_published_size(name):
    assert load_shape(name).parameters > 100e6


def test_a_config_without_weights_is_enough(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    shutil.copy(CONFIG, folder)
    alone, stored = find_stored(str(folder), "q4_0")
    named, _ = find_stored(str(folder / "config.json"), "q4_0")
    whole, _ = find_stored("demo-llama", "q4_0")
    assert alone.config == named.config == whole.config
    assert (alone.name, named.name, stored.name) == ("mine", "mine", "q4_0")


def test_a_config_that_is_not_understood_is_refused_by_its_field(tmp_path):
    wrong = tmp_path / "other.json"
    wrong.write_text(json.dumps(json.loads(CONFIG.read_text()) | {"hidden_act": "tanh"}))
    with pytest.raises(EstimateError, match=r"other\.json.*hidden_act"):
        find_stored(str(wrong), "q4_0")


@pytest.mark.parametrize("form", ["q8_0", "f16"])
def test_a_gguf_file_says_its_format(tmp_path, form):
    out = tmp_path / "model.gguf"
    done = run("export", "demo-llama", "--to", "gguf", "--type", form, "-o", out)
    assert done.exit_code == 0, done.output
    shape, stored = find_stored(str(out), None)
    assert stored.name == form and shape.config.num_layers == load_config()["num_hidden_layers"]


def load_config():
    return json.loads(CONFIG.read_text())


def test_a_model_with_other_layers_has_no_accelerator():
    with pytest.raises(EstimateError, match="gemma-3-1b has norms around attention"):
        find_shapes(["gemma-3-1b"])
    shape, stored = find_stored("gemma-3-1b", "q4_0")
    assert shape.config.window(0) == 512 and shape.config.window(5) is None
    assert stored.name == "q4_0"
