"""``trilobite study``: the list, and a study's tables."""

import json

from typer.testing import CliRunner

from trilobite.cli import app


def run(*arguments):
    return CliRunner().invoke(app, ["study", *arguments], env={"COLUMNS": "80"})


def test_without_a_name_the_studies_are_listed(tmp_path):
    result = run("--json", str(tmp_path / "studies.json"))
    assert result.exit_code == 0 and "kv-direct" in result.stdout
    listed = json.loads((tmp_path / "studies.json").read_text())["studies"]
    assert {"study": "kv-direct",
            "question": "Do residuals take less memory than keys and values?"} in listed


def test_a_study_prints_its_tables(tmp_path):
    result = run("tensor-parallel", "--json", str(tmp_path / "study.json"))
    assert result.exit_code == 0
    assert "blocks in memory" in " ".join(result.stdout.split()) and "ring" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
    value = json.loads((tmp_path / "study.json").read_text())
    assert value["study"] == "tensor-parallel" and len(value["tables"]) == 2


def test_an_unknown_study_is_refused():
    assert run("nothing").exit_code == 2
