"""Every command with names of files, devices, shapes and models that hold markup and escapes."""

import json
import re
import shutil
from pathlib import Path

import pytest

import trilobite
from support.command import run
from trilobite.cli.app import app
from trilobite.cli.text import visible

NAME = "[bold]x[/nope] :key: \x1b[31m\x07{0}"
DESCRIPTIONS = Path(trilobite.__file__).parent / "sim" / "descriptions"


@pytest.fixture(scope="module")
def place(tmp_path_factory, ternary):
    """A folder with a model, a device, a shape, an accelerator and a text, all called ``NAME``."""
    folder = tmp_path_factory.mktemp("names")
    shutil.copytree(ternary, folder / NAME)
    (folder / f"{NAME}.txt").write_text("import os\n" * 60)
    quoted = json.dumps(NAME)
    device = (DESCRIPTIONS / "devices" / "kv260.toml").read_text()
    device = device.replace('name = "KV260"', f"name = {quoted}")
    device = device.replace('source = "AMD kria', f'source = {quoted[:-1]} AMD kria')
    (folder / f"{NAME}.device.toml").write_text(device)
    shape = (DESCRIPTIONS / "shapes" / "bitnet-0.73b.toml").read_text()
    shape = re.sub('name = ".*?"', lambda found: f"name = {quoted}", shape, count=1)
    (folder / f"{NAME}.shape.toml").write_text(shape)
    return folder


# Of each command: arguments with {place}, a file of whose kind NAME is called; whether it succeeds.
COMMANDS = {
    "quantize": [(["{M}", "-o", "{P}/{N}.q", "--format", "int8"], 2),
                 (["demo-llama", "-o", "{P}/{N}.q", "--format", "int8"], 0),
                 (["demo-llama", "-o", "{P}/{N}.q2", "--format", "{N}"], 2),
                 (["demo-llama", "-o", "{P}/x", "--format", "int8", "--method", "{N}"], 2),
                 (["{P}/{N}.onnx", "-o", "{P}/{N}.q", "--format", "int8"], 2)],
    "export": [(["{M}", "--to", "gguf", "-o", "{P}/{N}.gguf"], 0),
               (["{M}", "--to", "gguf", "-o", "{P}/{N}.gguf"], 2),
               (["{M}", "--to", "gguf", "--type", "{N}", "-o", "{P}/x"], 2)],
    "generate": [(["{M}", "-p", "{N}", "-n", "2"], 0), (["{M}.none", "-p", "x"], 2)],
    "bench": [(["{M}", "--context", "3", "--prompt", "", "--steps", "1"], 0),
              (["--shape", "{N}"], 2), (["{M}", "--context", "{N}"], 2)],
    "evaluate": [(["{M}", "--text", "{P}/{N}.txt"], 0), (["{M}", "--text", "{P}/{N}"], 2)],
    "calibrate-kv": [(["{M}", "-o", "{P}/{N}.st", "--calibration", "{P}/{N}.txt"], 0),
                     (["{M}", "-o", "{P}/{N}.st", "--calibration", "{P}/{N}.txt"], 2)],
    "inspect": [(["{M}"], 0), (["{P}/{N}.txt"], 2)],
    "verify": [(["engine", "{M}.none"], 2), (["decoder", "{M}.none"], 2), (["shape", "{N}"], 2),
               (["engine", "{M}", "--hardware", "{N}"], 2)],
    "build": [(["{M}", "--board", "{N}", "-o", "{P}/x"], 2), (["{M}.none", "-o", "{P}/x"], 2)],
    "image": [(["{M}", "-o", "{P}/{N}.image", "--context", "9"], 0),
              (["{M}", "-o", "{P}/{N}.image"], 2),
              (["{M}", "-o", "{P}/x", "--hardware", "{N}"], 2)],
    "run": [(["{M}", "-p", "x", "--on", "{N}"], 2), (["{M}.none", "-p", "x"], 2),
            (["{P}/{N}.image", "-p", "x", "--on", "uart:{P}/{N}"], 2),
            (["{M}", "-p", "x", "--hardware", "{N}"], 2)],
    "self-test": [(["--on", "{N}"], 2), (["--hardware", "{N}"], 2)],
    "synth": [(["--block", "{N}"], 2)],
    "estimate": [(["{P}/{N}.shape.toml", "--hardware", "tlmm-kv260", "--device", "{D}", "-o",
                   "{P}/{N}.html", "--csv", "{P}/{N}.csv", "--trace", "{P}/{N}.json",
                   "--json", "{P}/{N}.run"], 0),
                 (["{P}/{N}.shape.toml", "--hardware", "tlmm-kv260", "--device", "{D}",
                   "--compare", "{P}/{N}.run"], 0),
                 (["{N}"], 2), (["{M}", "--device", "{N}"], 2), (["{M}", "--hardware", "{N}"], 2)],
    "calibrate": [(["-o", "{P}/{N}"], 2)],
    "serve-sim": [(["{P}/{N}.shape.toml", "--device", "{D}", "--requests", "2", "--policy",
                    "whole"], 0), (["{M}", "--policy", "{N}"], 2), (["{M}", "--trace", "{N}"], 2)],
    "explore": [(["{P}/{N}.shape.toml", "--device", "{D}", "--points", "10", "-o",
                  "{P}/{N}.front.html"], None), (["{M}", "--best", "{N}"], 2)],
    "devices": [(["{D}"], 0), (["{N}"], 2)],
    "chat": [(["{M}"], 2), (["demo-llama", "--template", "{N}"], 2)],
    "serve": [(["{N}", "--port", "0"], 2),
              (["demo-llama", "--port", "0", "--template", "{N}"], 2)],
    "study": [([], 0), (["{N}"], 2)],
}


def test_every_command_is_walked():
    registered = {command.name or command.callback.__name__.replace("_", "-")
                  for command in app.registered_commands}
    assert registered == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_names_are_shown_as_they_are(place, command):
    names = {"P": place, "N": NAME, "M": place / NAME, "D": place / f"{NAME}.device.toml"}
    for arguments, code in COMMANDS[command]:
        words = [word.format(**names) for word in arguments]
        result = run(command, *words)
        assert result.exit_code in ((0, 2) if code is None else (code,)), (
            words, result.output, result.exception)
        assert "Traceback" not in result.output
        assert not set(result.output) - {"\n"} & set(map(chr, [*range(32), 127])), words
        if code == 2:
            shown = "".join(result.output.split())
            assert "[bold]x[/nope]:key:" in shown or "--" in shown, (words, result.output)


@pytest.mark.parametrize(("command", "ends"), [
    (("inspect", "{M}"), ""), (("devices", "{D}"), ""),
    (("export", "{M}", "--to", "hex", "-o", "{P}/{N}.hex"), ".hex"),
])
def test_a_name_in_a_result_is_the_whole_name(place, command, ends):
    names = {"P": place, "N": NAME, "M": place / NAME, "D": place / f"{NAME}.device.toml"}
    result = run(*(word.format(**names) for word in command))
    assert result.exit_code == 0
    assert "".join((visible(NAME) + ends).split()) in "".join(result.output.split())


def test_texts_of_a_models_own_files_are_shown_as_they_are(place, tmp_path):
    shutil.copytree(place / NAME, tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    for key in ("model_type", "hidden_act"):
        values = json.loads(config.read_text()) | {key: NAME}
        config.write_text(json.dumps(values))
        result = run("inspect", tmp_path / "model")
        assert result.exit_code == 2 and "\x1b" not in result.output
        assert "[bold]x[/nope]" in result.output


def test_a_spreadsheet_takes_no_name_for_a_formula(place):
    shape = (place / f"{NAME}.shape.toml").read_text()
    formula = "=HYPERLINK(0)"
    shape = shape.replace(f"name = {json.dumps(NAME)}", f'name = "{formula}"')
    (place / "formula.toml").write_text(shape)
    assert run("estimate", place / "formula.toml", "--hardware", "tlmm-kv260",
               "--csv", place / "out.csv").exit_code == 0
    rows = (place / "out.csv").read_text().splitlines()[1:]
    assert rows and all(row.startswith(f"'{formula},") for row in rows)
    assert re.search(r",-?\d+\.\d", rows[0])   # numbers stay numbers
