"""Accelerators at the door: one file for every command, and what is wrong in one said by name."""

import re
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import get_type_hints

import pytest

import trilobite
from support.tiny_accelerator import TINY
from trilobite.errors import EstimateError
from trilobite.fpga.accelerator_parameters import (
    _BURST_BYTES,
    ACTIVATIONS,
    CHOICES,
    RANGES,
    SWITCHES,
    AcceleratorParameters,
)
from trilobite.hw.matmul.engine_parameters import TlmmParameters
from trilobite.hw.memory.axi import BURST_BYTES
from trilobite.sim.descriptions.accelerator import (
    CONSTANTS,
    AcceleratorDescription,
    MemoryPort,
    accelerator_names,
    load_accelerator,
)
from trilobite.sim.descriptions.device import load_device
from trilobite.sim.descriptions.formula_accelerator import FormulaAccelerator
from trilobite.sim.descriptions.presets import constants
from trilobite.sim.descriptions.shapes import load_shape
from trilobite.sim.descriptions.tables import bundled_folder
from trilobite.sim.formulas.estimate import estimate

DEMO = (bundled_folder("accelerators") / "demo.toml").read_text()
ENGINE = "[tlmm]\ngroup_size = 3\ntables = 8\ncolumns = 8\nmax_k = 96\nmax_m = 96\n"


def written(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return str(path)


def changed(tmp_path, before, after):
    assert DEMO.count(before) == 1
    return written(tmp_path, DEMO.replace(before, after))


def refused(path, sentence):
    with pytest.raises(EstimateError, match=re.escape(path) + ": " + sentence):
        load_accelerator(path)


def test_the_accelerators_of_the_package_can_be_loaded():
    assert accelerator_names() == ["demo", "kv260", "kv260-groups", "tlmm-kv260", "ulx3s"]
    assert accelerator_names(whole=True) == ["demo", "kv260", "kv260-groups", "ulx3s"]
    for name in accelerator_names():
        description = load_accelerator(name)
        assert description.engine == description.formulas.tlmm.parameters()
        assert description.formulas.name == description.name
    assert load_accelerator("demo").whole().tlmm.macs_per_cycle == 192


def test_a_users_own_accelerator_goes_by_its_name(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    folder = tmp_path / "trilobite" / "accelerators"
    folder.mkdir(parents=True)
    (folder / "own.toml").write_text(DEMO.replace("lanes = 4", "lanes = 2"))
    assert "own" in accelerator_names(whole=True)
    assert load_accelerator("own").whole() == replace(load_accelerator("demo").whole(), lanes=2)


def test_an_unknown_accelerator_is_named(tmp_path):
    with pytest.raises(EstimateError, match="'vcu118' in accelerators; give one of demo, kv260, k"):
        load_accelerator("vcu118")
    with pytest.raises(EstimateError, match=r"no description .*none\.toml"):
        load_accelerator(str(tmp_path / "none.toml"))


@pytest.mark.parametrize(("before", "after", "sentence"), [
    ('name = "Accelerator demo"', "name = 5", "name: must be text, not 5"),
    ('description = "Small', 'describes = "Small', "unknown key describes; known are accelerator"),
    ("group_size = 3\n", "", "tlmm: missing key group_size"),
    ("group_size = 3", "group_size = 6", "tlmm: .*group_size must be 2 to 5, not 6"),
    ("group_size = 3", "group_size = 3.0", "tlmm: group_size: must be a whole number, not 3.0"),
    ("tables = 8", "tables = true", "tlmm: tables: must be a whole number, not True"),
    ("max_tokens = 64", "max_tokens = 64.5",
     "accelerator: max_tokens: must be a whole number, not 64.5"),
    ("max_tokens = 64", 'max_tokens = "64"',
     "accelerator: max_tokens: must be a whole number, not '64'"),
    ("max_tokens = 64", "max_tokens = 0",
     "accelerator: max_tokens must be a whole number from 1 to 65535, not 0"),
    ("max_heads = 4", "max_heads = 256",
     "accelerator: max_heads must be a whole number from 1 to 255, not 256"),
    ("max_tokens = 64", "max_token = 64", "accelerator: unknown key max_token; known are activ"),
    ("max_tokens = 64\n", "", "accelerator: missing key max_tokens"),
    ("word_bytes = 16", "word_bytes = 48", "accelerator: word_bytes must be 4, 8, 16, 32 or 64"),
    ("lanes = 4", "lanes = 3", "accelerator: lanes must be 1, 2 or 4, not 3"),
    ("columns = 8", "columns = 6", "accelerator: columns = 6 is not a multiple of 4 lanes"),
    ("max_width = 768", "max_width = 766", "accelerator: max_width = 766 is not a multiple of 4"),
    ("max_k = 768", "max_k = 512", "accelerator: max_k = 512 of the engine is less than max_width"),
    ("max_m = 1536", "max_m = 1536\nactivation_width = 4",
     "accelerator: activation_width of the engine must be 8, .* not 4"),
    ("max_head_dim = 64", "max_head_dim = 72",
     "accelerator: .*max_head_dim must be a multiple of 16, not 72"),
    ("address_width = 28", "address_width = 37",
     "accelerator: address_width must be at most 36 with words of 16 bytes, not 37"),
    ("address_width = 28", "max_burst = 24",
     "accelerator: max_burst must be a power of two up to 256 words of 16 bytes, not 24"),
    ("address_width = 28", "ports = 3", "accelerator: ports must be 1, 2 or 4, not 3"),
    ("word_bytes = 16", "word_bytes = 8\nports = 4",
     "accelerator: ports = 4 is too many for words of 8 bytes: a port has 4 bytes"),
])
def test_every_key_of_the_rtl_is_checked(tmp_path, before, after, sentence):
    refused(changed(tmp_path, before, after), sentence)


@pytest.mark.parametrize(("table", "sentence"), [
    ("clock = 5", "clock: must be a table, not 5"),
    ("[clock]\nfrequency = 250", "clock: frequency: must be a table, not 250"),
    ('[clock]\nfrequency = { value = 1, unit = "GHz", kind = "rtl", source = "x" }',
     "clock: frequency: the unit must be 'MHz', not 'GHz'"),
    ('[clock]\nfrequency = { value = 0, unit = "MHz", kind = "rtl", source = "x" }',
     "clock: frequency: must be above 0, not 0 MHz"),
    ('[overlap]\ntlmm = { low = 0, nominal = 1, high = 1.5, unit = "fraction", kind = "rtl", '
     'source = "x" }', "overlap: tlmm: must be 0 to 1, not 0 to 1.5 fraction"),
    ('[vector]\nefficiency = { low = 0, nominal = 1, high = 1, unit = "fraction", kind = "rtl", '
     'source = "x" }', "vector: efficiency: must be above 0, at most 1, not 0 to 1 fraction"),
    ("[clock]\nspeed = 250", "clock: unknown key speed; known are frequency, start"),
    ("[port]\nlatency = 240", "port: latency: must be a table, not 240"),
    ('[vector]\nlanes = { value = 8, unit = "elements/cycle", kind = "rtl", source = "x" }',
     r"vector: lanes follows from \[accelerator\]; it is 4 elements/cycle"),
    ("[banana]", "unknown key banana"),
])
def test_every_constant_is_checked(tmp_path, table, sentence):
    text = f"{table}\n{DEMO}" if table.startswith("clock") else f"{DEMO}\n{table}\n"
    refused(written(tmp_path, text), sentence)


def test_an_engine_alone_is_no_whole_accelerator(tmp_path):
    path = written(tmp_path, 'name = "an engine"\n' + ENGINE)
    description = load_accelerator(path)
    usual = load_accelerator("tlmm-kv260").formulas
    for table in CONSTANTS:
        assert getattr(description.formulas, table) == getattr(usual, table)
    assert description.formulas.tlmm.columns.count == 8
    with pytest.raises(EstimateError, match=re.escape(path) + r" describes an engine and no whole "
                       r"accelerator: .* take one of demo, kv260, kv260-groups, ulx3s, or a \.t"):
        description.whole()
    port = 'name = "an engine"\n' + ENGINE + "[port]\nlatency = 1\n"
    refused(written(tmp_path, port), r"port: there is none without a table \[accelerator\]")


def test_what_is_not_toml_is_refused(tmp_path):
    path = written(tmp_path, "name = ")
    with pytest.raises(EstimateError, match=re.escape(path) + " is not valid TOML"):
        load_accelerator(path)


def test_constants_of_an_accelerator_in_rtl_follow_from_its_parameters():
    for name in accelerator_names(whole=True):
        description = load_accelerator(name)
        parameters, formulas = description.whole(), description.formulas
        assert formulas.vector.lanes.count == parameters.lanes
        assert formulas.integer.query_rows.count == parameters.queries
        assert formulas.integer.lanes.count == parameters.word_bytes * parameters.queries
        assert formulas.host.token.high == 0
        assert description.port.latency.nominal == 240
        assert all(one.quantity.source for one in constants(formulas))
    assert load_accelerator("kv260").formulas.uram == 36   # 5,120 bits of a beat, 144 of a block


def test_formulas_estimate_an_accelerator_in_rtl():
    formulas = load_accelerator("kv260").formulas
    result = estimate(load_shape("bitnet-0.73b"), load_device("kv260"), formulas)
    assert 60 < result.rate.nominal < 120   # the cycle model says 84


def test_parameters_in_python_are_checked_like_those_of_a_file():
    assert BURST_BYTES == _BURST_BYTES
    names = {field.name for field in fields(AcceleratorParameters)} - {"tlmm", "activations"}
    assert {*CHOICES, *RANGES, *SWITCHES} == names
    for name, (least, most) in RANGES.items():
        for value in (least - 1, most + 1, float(getattr(TINY, name)), True):
            with pytest.raises(ValueError, match=f"{name} must be a whole number from {least} to"):
                replace(TINY, **{name: value})
    for name, choices in CHOICES.items():
        with pytest.raises(ValueError, match=f"{name} must be .* not {choices[-1] + 1}"):
            replace(TINY, **{name: choices[-1] + 1})
    for name in SWITCHES:
        with pytest.raises(ValueError, match=f"{name} must be true or false, not 1"):
            replace(TINY, **{name: 1})
    for lanes, beats in ((2, 0), (0, 8)):
        with pytest.raises(ValueError, match=f"scale_lanes = {lanes} and scale_beats = {beats} "):
            replace(TINY, scale_lanes=lanes, scale_beats=beats)
    for lanes in (1, 3, 8):   # of 2 lanes, 4 columns
        with pytest.raises(ValueError, match=f"scale_lanes = {lanes} must be a multiple of 2"):
            replace(TINY, scale_lanes=lanes, scale_beats=8)
    for wrong in ((), ("gelu",), ("silu", "gelu"), "silu", None):
        with pytest.raises(ValueError, match="activations must be a list of one or more of silu"):
            replace(TINY, activations=wrong)
    assert replace(TINY, activations=["relu2", "silu"]) == TINY


def test_a_description_of_parameters_alone_has_the_usual_constants():
    demo = load_accelerator("demo")
    described = AcceleratorDescription.of("mine", demo.whole())
    assert described.whole() == demo.whole() and described.engine == demo.engine
    assert described.port == demo.port
    assert described.formulas.clock == demo.formulas.clock
    assert described.formulas.storage.head_width == demo.formulas.storage.head_width


def documented():
    """Rows of the tables in docs/reference/accelerators.md: key, and the cells behind it."""
    text = (Path(trilobite.__file__).parent / "docs/reference/accelerators.md").read_text()
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in text.splitlines()
            if re.match(r"\| `\w+\.\w+` \|", row)]
    assert len({row[0] for row in rows}) == len(rows)
    return {row[0].strip("`"): row[1:-1] for row in rows}


def keys_of(cls, table):
    """Key, annotation and default of each field of a table."""
    hints = get_type_hints(cls, include_extras=True)
    return {f"{table}.{field.name}": (hints[field.name], field.default)
            for field in fields(cls) if field.name != "tlmm" or table == "overlap"}


def test_the_reference_has_every_key_with_its_values_and_its_default():
    rtl = keys_of(AcceleratorParameters, "accelerator")
    engine = keys_of(TlmmParameters, "tlmm")
    hints = get_type_hints(FormulaAccelerator)
    quantities = {key: said for table in CONSTANTS for key, said in keys_of(
        hints[table], table).items()} | keys_of(MemoryPort, "port")
    rows = documented()
    assert set(rows) == set(rtl) | set(engine) | set(quantities)
    for key, (_, default) in {**rtl, **engine}.items():
        said = ", ".join(default) if isinstance(default, tuple) else str(default).lower()
        assert rows[key][1] == ("-" if default is MISSING else said), key
    assert rows["accelerator.activations"][0] == f"list of {', '.join(ACTIVATIONS)}"
    for key in set(rtl) - {"accelerator.activations"}:
        name = key.partition(".")[2]
        choices = ("true", "false") if name in SWITCHES else CHOICES.get(name)
        assert rows[key][0] == (", ".join(map(str, choices)) if choices
                                else "{} to {}".format(*RANGES[name])), key
    for key in engine:
        least, _, most = rows[key][0].removeprefix("from ").partition(" to ")
        name = key.partition(".")[2]
        for wrong in (int(least) - 1, *([int(most) + 1] if most else [])):
            with pytest.raises(ValueError, match=name):
                replace(TINY.tlmm, **{name: wrong})
    for key, (hint, _) in quantities.items():
        assert rows[key][:2] == [hint.__metadata__[0].name, hint.__metadata__[0].values], key


@pytest.mark.parametrize("key", [key for key, cells in documented().items() if len(cells) == 3])
def test_the_reference_says_which_constants_follow_from_the_rtl(tmp_path, key):
    table, _, name = key.partition(".")
    said = documented()[key]
    text = (f'{DEMO}\n[{table}]\n{name} = {{ value = 1, unit = "{said[0]}", kind = "rtl", '
            'source = "a test" }\n')
    path = written(tmp_path, text)
    if said[2] == "follows":
        refused(path, rf"{table}: {name} follows from \[accelerator\]")
    else:
        assert said[2] == "as stated"
        description = load_accelerator(path)
        where = description if table == "port" else description.formulas
        assert getattr(getattr(where, table), name).nominal == 1
