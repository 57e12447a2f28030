"""Other packages' formats, methods and devices: found, used by name, and refused where broken."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import trilobite
from support.plugins import install_example, write_metadata, write_plugin
from trilobite.cli.commands import app
from trilobite.errors import EstimateError, FormatError, PluginError
from trilobite.quant.export import EXPORTERS
from trilobite.quant.formats import FORMATS, parse_format
from trilobite.quant.methods import METHODS
from trilobite.sim.descriptions.accelerator import load_accelerator
from trilobite.sim.descriptions.presets import plugin_devices, read_device
from trilobite.sim.descriptions.shapes import load_shape
from trilobite.sim.descriptions.tables import bundled_folder
from trilobite.tools.plugins import find_plugins, load_plugin


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder to install packages into; what they import is forgotten afterwards."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
            del sys.modules[name]


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_example_is_used_by_name(tmp_path, site):
    install_example(site)
    assert list(FORMATS)[-1] == "int8-pow2" and list(METHODS)[-1] == "shrink"
    assert "trilobite_example.formats" not in sys.modules   # listing loads nothing
    form = parse_format("int8-pow2,margin=one")
    assert str(form) == "int8-pow2,margin=one"
    manifest = trilobite.quantize("demo-llama", tmp_path / "q", form)
    assert manifest.format == {"format": "int8-pow2", "margin": "one"}
    with pytest.raises(FormatError, match="margin must be none or one, not 'two'"):
        parse_format("int8-pow2,margin=two")
    generation = trilobite.load(tmp_path / "q").generate("def f(", max_new_tokens=3)
    list(generation)
    assert len(generation.tokens) == 3


def test_the_method_of_the_example(tmp_path, site):
    install_example(site)
    text = trilobite.calibration("demo-llama", sequences=1)
    rounded = trilobite.quantize("demo-llama", tmp_path / "rtn", "int4")
    shrunk = trilobite.quantize("demo-llama", tmp_path / "q", "int4", method="shrink",
                                calibration=text)
    assert shrunk.method == "shrink"
    assert shrunk.totals == rounded.totals
    with pytest.raises(FormatError, match="shrink does not make int8; it makes int2, int3, int4"):
        trilobite.quantize("demo-llama", tmp_path / "no", "int8", method="shrink")


def test_the_device_of_the_example(tmp_path, site):
    install_example(site)
    assert list(plugin_devices()) == ["example-board"]
    assert read_device("example-board").name.startswith("Example of ")
    result = run("estimate", "bitnet-0.73b", "--device", "example-board", "--json", "-",
                 "-o", tmp_path / "report.html")
    assert result.exit_code == 0, result.output
    assert "Example of" in json.dumps(json.loads(result.stdout))
    assert "example-board" in run("devices").output
    assert "example-board" in run("devices", "zx81").stderr


def test_the_help_lists_what_other_packages_bring(site):
    install_example(site)
    shown = " ".join(run("quantize", "--help").output.split())
    assert "int8-pow2 of the package trilobite-example" in shown
    assert "shrink of the package trilobite-example" in shown
    shown = " ".join(run("estimate", "--help").output.split())
    assert "and those of the package trilobite-example" in shown and "raspberry-pi-5" in shown


@pytest.mark.parametrize(("module", "said"), [
    ("import no_such_module", "cannot be loaded: ModuleNotFoundError: No module named 'no_such_"),
    ("1 / 0", "cannot be loaded: ZeroDivisionError: division by zero"),
    ("Other = 1", "cannot be loaded: AttributeError: module 'broken.formats' has no attribute"),
    ("Form = 1", "is no subclass of Format"),
    ("from trilobite.quant.formats import Int8 as Form", "its name is 'int8', not 'int8-broken'"),
])
def test_a_broken_package_is_one_error_that_names_it(tmp_path, site, module, said):
    write_plugin(site, "broken", {"trilobite.formats": {"int8-broken": "broken.formats:Form"}},
                 formats=module + "\n")
    with pytest.raises(PluginError) as caught:
        parse_format("int8-broken")
    assert "'int8-broken' in trilobite.formats, of the package broken 0.1," in str(caught.value)
    assert said in str(caught.value)
    result = run("quantize", "demo-llama", "-o", tmp_path / "q", "--format", "int8-broken")
    assert result.exit_code == 2 and "broken 0.1" in result.stderr
    assert parse_format("int8")   # nothing else suffers
    assert run("quantize", "--help").exit_code == 0


@pytest.mark.parametrize(("group", "kind"), [
    ("trilobite.methods", METHODS), ("trilobite.exporters", EXPORTERS)])
def test_what_is_of_another_kind_is_refused(site, group, kind):
    write_plugin(site, "odd", {group: {"odd": "odd.things:thing"}}, things="thing = object()\n")
    with pytest.raises(PluginError, match=rf"'odd' in {group}, of the package odd 0.1, is no "):
        kind.find("odd")


def test_an_own_name_cannot_be_taken(site):
    write_plugin(site, "greedy", {"trilobite.formats": {"int8": "greedy.formats:Form"}},
                 formats="1 / 0\n")
    assert parse_format("int8").name == "int8"
    assert list(FORMATS).count("int8") == 1


def test_a_name_of_two_packages_is_refused(site):
    for name in ("one", "two"):
        write_plugin(site, name, {"trilobite.formats": {"mine": f"{name}.formats:Form"}})
    with pytest.raises(PluginError, match=r"one 0\.1 and two 0\.1 both register 'mine'"):
        find_plugins("trilobite.formats")
    assert parse_format("int8")


def test_a_package_without_a_folder_has_no_devices(site):
    write_plugin(site, "flat", {"trilobite.devices": {"boards": "flat.boards"}}, boards="")
    with pytest.raises(PluginError, match="of the package flat 0.1, .* no package in a folder"):
        read_device("zx81")
    assert read_device("kv260")


def test_shapes_of_other_packages(site):
    write_plugin(site, "models", {"trilobite.shapes": {"all": "models"}})
    shutil.copy(bundled_folder("shapes") / "bitnet-0.73b.toml", site / "models" / "brought.toml")
    assert load_shape("brought").config == load_shape("bitnet-0.73b").config


def test_two_devices_of_one_name_are_refused(site):
    for name in ("one", "two"):
        write_plugin(site, name, {"trilobite.devices": {name: name}})
        (site / name / "board.toml").write_text("")
    with pytest.raises(PluginError, match="is called 'board' too"):
        read_device("board")


EVIL = "raise SystemExit('code of the current folder ran')\n"


def test_nothing_is_found_or_loaded_in_the_current_folder(tmp_path, site, monkeypatch):
    """A stranger's folder may look like an installed package, or like one of its modules."""
    stranger = tmp_path / "stranger"
    write_plugin(stranger, "evil", {"trilobite.formats": {"int8-evil": "evil.formats:Form"},
                                    "trilobite.devices": {"boards": "evil"}}, formats=EVIL)
    write_plugin(site, "good", {"trilobite.formats": {"int8-good": "good.formats:Form"}},
                 formats="from trilobite.quant.formats import Int8\n"
                         "class Form(Int8):\n    name = 'int8-good'\n")
    (stranger / "good").mkdir()
    (stranger / "good" / "__init__.py").write_text(EVIL)
    monkeypatch.chdir(stranger)
    monkeypatch.syspath_prepend("")   # as `python -m` and a notebook have it
    assert "int8-evil" not in FORMATS and not plugin_devices()
    with pytest.raises(PluginError, match="not where that package is installed"):
        parse_format("int8-good")
    monkeypatch.chdir(tmp_path)
    assert parse_format("int8-good").name == "int8-good"


def test_a_package_that_is_edited_where_it_lies_is_loaded(tmp_path, site, monkeypatch):
    """As ``pip install -e`` leaves it: metadata among the installed, modules in the project."""
    project = tmp_path / "project"
    (project / "edited").mkdir(parents=True)
    (project / "edited" / "__init__.py").write_text("THING = 7\n")
    info = write_metadata(site, "edited", "2", {"trilobite.formats": {"it": "edited:THING"}})
    monkeypatch.syspath_prepend(project)
    entry = find_plugins("trilobite.formats")["it"]
    with pytest.raises(PluginError, match="not where that package is installed"):
        load_plugin(entry)
    (info / "direct_url.json").write_text(json.dumps(
        {"url": project.as_uri(), "dir_info": {"editable": True}}))
    assert load_plugin(entry) == 7
    monkeypatch.chdir(project)
    assert load_plugin(find_plugins("trilobite.formats")["it"]) == 7


def test_the_help_of_the_command_loads_no_package(tmp_path, site):
    write_plugin(site, "loud", {"trilobite.formats": {"loud": "loud.formats:Form"}}, formats=EVIL)
    command = [sys.executable, "-m", "trilobite", "quantize", "--help"]
    environment = {**os.environ, "PYTHONPATH": str(site)}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True,
                            check=False)
    assert result.returncode == 0 and "of the package loud" in result.stdout


def test_an_accelerator_of_another_package_is_used_by_name(site):
    text = (bundled_folder("accelerators") / "demo.toml").read_text()
    write_plugin(site, "gates", {"trilobite.accelerators": {"all": "gates"}})
    (site / "gates" / "theirs.toml").write_text(text.replace("lanes = 4", "lanes = 2"))
    described = load_accelerator("theirs")
    assert described.whole().lanes == 2 and described.source.endswith("theirs.toml")
    (site / "gates" / "theirs.toml").write_text(text.replace("lanes = 4", "lanes = 3"))
    with pytest.raises(EstimateError, match="theirs.toml: accelerator: lanes must be 1, 2 or 4"):
        load_accelerator("theirs")
