"""Designs beside their RTL: in processes, through submitit, and out of the cache."""

import dataclasses
import json

import pytest

from support.watch import Watch
from trilobite.errors import ToolError, TrilobiteError
from trilobite.hw import TlmmParameters
from trilobite.npu import ArrayParameters, Stationary
from trilobite.sim.explore import check, tasks
from trilobite.sim.explore.check import Checked, check_engine, check_engines

LOOKUP = TlmmParameters(group_size=2, tables=4, columns=4, max_k=128, max_m=64)
ARRAY = ArrayParameters(Stationary.WEIGHT, rows=2, lanes=8, tokens=4)
SHAPES = ((16, 24), (12, 64))
ARRAY_SHAPES = ((16, 256),)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Results of their own; builds of simulators are shared."""
    monkeypatch.setattr(check, "cached_folder",
                        lambda kind, name, fill: _filled(tmp_path / name, fill))
    return tmp_path


def _filled(folder, fill):
    if not folder.is_dir():
        folder.mkdir()
        fill(folder)
    return folder


def test_a_lookup_engine_takes_the_cycles_of_the_formula_and_is_simulated_once(
    cache, monkeypatch
):
    found = check_engine(LOOKUP, SHAPES)
    assert found.shapes == ((16, 24, 1), (12, 64, 1))
    assert found.cycles == found.predicted
    assert (found.mismatches, found.worst_error) == (0, 0)
    monkeypatch.setattr(check, "verify_tlmm", None)
    assert check_engine(LOOKUP, SHAPES) == found
    with pytest.raises(TypeError):   # other shapes are other content
        check_engine(LOOKUP, SHAPES[:1])
    with pytest.raises(TypeError):   # so is another engine
        check_engine(dataclasses.replace(LOOKUP, columns=6), SHAPES)
    file, = cache.glob("*/checked.json")
    file.write_text(json.dumps({"shapes": []}))
    with pytest.raises(ToolError, match=r"checked.json .* simulate again"):
        check_engine(LOOKUP, SHAPES)


def test_a_pool_gives_what_one_process_gives():
    watch = Watch()
    found = check_engines([LOOKUP, ARRAY, LOOKUP], ((16, 128),), workers=2, progress=watch)
    assert found[0] == found[2] == check_engine(LOOKUP, ((16, 128),))
    assert found[1].mismatches == 0
    assert watch.done == watch.total == 2


def test_an_array_takes_the_cycles_of_the_formula_and_so_it_does_through_submitit(
    tmp_path, monkeypatch
):
    # Five tokens are two jobs of an array made for four.
    found = check_engine(ARRAY, ARRAY_SHAPES)
    assert found.shapes == ((6, 256, 1), (6, 256, 5))
    assert found.cycles == found.predicted
    assert found.mismatches == 0
    pytest.importorskip("submitit", reason="submitit is the extra `cluster`")
    monkeypatch.setattr(tasks, "private_folder", lambda kind: tmp_path / kind)
    assert check_engines([ARRAY], ARRAY_SHAPES, cluster="debug") == [found]


@pytest.mark.slow
def test_processes_of_submitit_give_what_this_one_gives(tmp_path, monkeypatch):
    pytest.importorskip("submitit", reason="submitit is the extra `cluster`")
    monkeypatch.setattr(tasks, "private_folder", lambda kind: tmp_path / kind)
    assert check_engines([ARRAY], ARRAY_SHAPES, cluster="local") == [
        check_engine(ARRAY, ARRAY_SHAPES)]


def test_slurm_that_is_not_there_is_an_error(tmp_path, monkeypatch):
    pytest.importorskip("submitit", reason="submitit is the extra `cluster`")
    monkeypatch.setattr(tasks, "private_folder", lambda kind: tmp_path / kind)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ToolError, match="--cluster slurm"):
        check_engines([ARRAY], ARRAY_SHAPES, cluster="slurm")


def test_an_engine_too_small_for_the_shapes_is_an_error(cache):
    with pytest.raises(TrilobiteError, match="max_k"):
        check_engine(LOOKUP, ((4, 129),))


def test_the_worst_error_is_relative_to_the_simulation():
    assert Checked(((1, 1, 1),) * 2, (100, 200), (99, 210), 0).worst_error == pytest.approx(0.05)
