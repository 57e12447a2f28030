import pytest

from trilobite.errors import TrilobiteError
from trilobite.fpga.configuration import configurations, load_configuration


@pytest.mark.parametrize("name", configurations())
def test_the_accelerators_of_the_package_can_be_loaded(name):
    parameters = load_configuration(name)
    assert parameters.attention.word_bytes == parameters.word_bytes
    assert parameters.tlmm.macs_per_cycle > 0


def test_an_unknown_accelerator_is_named(tmp_path):
    with pytest.raises(TrilobiteError, match=r"no accelerator 'vcu118'; there are demo, kv260"):
        load_configuration("vcu118")
    with pytest.raises(TrilobiteError, match=r"no accelerator"):
        load_configuration(str(tmp_path / "mine.toml"))


@pytest.mark.parametrize(("text", "sentence"), [
    ("word_bytes = ", "cannot be read"),
    ("word_bytes = 16\n[tlmm]\ngroup_size = 3", "missing"),
    ("banana = 1\n[tlmm]\ngroup_size=3\ntables=8\ncolumns=8\nmax_k=96\nmax_m=96", "banana"),
])
def test_a_broken_file_is_refused(tmp_path, text, sentence):
    path = tmp_path / "broken.toml"
    path.write_text(text)
    with pytest.raises(TrilobiteError, match=sentence):
        load_configuration(str(path))


@pytest.mark.parametrize(("change", "sentence"), [
    ("word_bytes = 16->word_bytes = 48", "word_bytes must be 16, 32 or 64, not 48"),
    ("lanes = 4->lanes = 3", "lanes must be 1, 2 or 4, not 3"),
    ("columns = 8->columns = 6", "columns = 6 is not a multiple of 4 lanes"),
])
def test_parameters_that_contradict_each_other_are_refused(tmp_path, change, sentence):
    from trilobite.fpga import configuration

    before, after = change.split("->")
    path = tmp_path / "changed.toml"
    path.write_text((configuration._FOLDER / "demo.toml").read_text().replace(before, after))
    with pytest.raises(TrilobiteError, match=sentence):
        load_configuration(str(path))
