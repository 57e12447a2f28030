import pytest

import trilobite
from support.command import refuses, run
from trilobite.errors import OutputError


@pytest.fixture
def text(tmp_path):
    file = tmp_path / "text.py"
    file.write_text("import os\n" * 60)
    return file


def test_the_scales_are_written_and_taken(tmp_path, text):
    out = tmp_path / "keys.st"
    result = run("calibrate-kv", "demo-llama", "-o", out, "--calibration", text)
    assert result.exit_code == 0
    assert result.stdout.replace("\n", "").endswith("--kv-scales takes it")
    assert trilobite.load("demo-llama", kv_scales=out).key_factors.shape == (4, 2, 64)


def test_a_full_disk_leaves_nothing(tmp_path, text, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("trilobite.api.models.write_factors", full)
    chosen = trilobite.calibration("demo-llama", text)
    with pytest.raises(OutputError, match="the disk is full"):
        trilobite.calibrate_kv("demo-llama", tmp_path / "keys.st", chosen)
    assert list(tmp_path.iterdir()) == [text]


@pytest.mark.parametrize(("options", "said"), [
    (["--seed", "-1"], "must not be negative"), (["--sequences", "0"], "at least 1 sequence"),
    (["-o", "{text}"], "exists"),
])
def test_bad_input_is_one_sentence(tmp_path, text, options, said):
    options = [word.format(text=text) for word in options]
    out = [] if "-o" in options else ["-o", tmp_path / "keys.st"]
    result = run("calibrate-kv", "demo-llama", "--calibration", text, *out, *options)
    assert refuses(result, said)
    assert list(tmp_path.iterdir()) == [text]
