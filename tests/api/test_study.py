"""Studies: each has a name, a question and tables; the quick ones are computed."""

import json

import pytest

import trilobite
from trilobite.errors import EstimateError
from trilobite.sim.studies.study import StudyTable
from trilobite.tools.progress import Silent

QUICK = ("chunk-graphs", "cold-start", "kv-direct", "measured", "tensor-parallel", "validation")
SLOW = ("shadow", "subgraph-order")


class Watch(Silent):
    def __init__(self):
        self.items = []

    def finished(self, item):
        self.items.append(item)


def computed(name, capsys):
    watch = Watch()
    result = trilobite.study(name, watch)
    assert result.tables and list(result.tables) == watch.items
    assert all(table.rows for table in result.tables)
    json.dumps(result.to_json(), allow_nan=False)
    assert capsys.readouterr() == ("", "")
    return {table.title: table for table in result.tables}


def test_every_study_is_here():
    assert sorted(study.name for study in trilobite.studies()) == sorted(QUICK + SLOW)
    assert all(study.question.count("?") == 1 for study in trilobite.studies())
    with pytest.raises(EstimateError, match="no study 'x'; known are chunk-graphs"):
        trilobite.study("x")


def test_a_table_has_a_cell_for_each_column():
    with pytest.raises(ValueError, match="1 cells for 2 columns"):
        StudyTable("t", ("a", "b"), ((1,),))


@pytest.mark.parametrize("name", QUICK)
def test_a_quick_study_is_computed(name, capsys):
    computed(name, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_a_slow_study_is_computed(name, capsys):
    computed(name, capsys)


def test_chunks_give_the_same_bits(capsys):
    *_, hidden = computed("chunk-graphs", capsys).values()
    assert [bits for _, bits in hidden.rows] == [0] * len(hidden.rows)


def test_residuals_of_llama_by_hand(capsys):
    """32 layers of 2 x 4096 values of 2 bytes; a residual of 4096."""
    sizes, work = computed("kv-direct", capsys).values()
    llama = next(row for row in sizes.rows if row[0] == "llama-2-7b")
    assert llama[1:] == (32 * 2 * 4096 * 2, 4096 * 2, 32 * 4096 * 2)
    llama = next(row for row in work.rows if row[0] == "llama-2-7b")
    assert llama[1] == round(2 * 32 * 4096 * 2 * 4096 / 1e6, 1)


def test_a_window_of_blocks_is_never_slower_than_a_smaller_one(capsys):
    windows = next(iter(computed("tensor-parallel", capsys).values()))
    times = [row[1] for row in windows.rows]
    assert times == sorted(times, reverse=True)
    assert windows.rows[-1][2] == "1.3%"   # its first load is never hidden
