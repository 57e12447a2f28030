"""Progress: what parts of a larger work add up to, and silence."""

import inspect

import pytest

from support.watch import Watch
from trilobite.tools.progress import SILENT, PartOfWork, Progress, Silent


def test_parts_add_up_to_the_whole_whatever_they_count():
    watch = Watch()
    watch.start(3, "both")
    one, two = PartOfWork(watch), PartOfWork(watch, 2)
    one.start(1000, "bytes")
    one.advance(250)
    assert watch.done == pytest.approx(0.25)
    one.advance(750)
    two.start(7)
    for _ in range(7):
        two.advance()
    assert watch.done == pytest.approx(watch.total)
    assert watch.steps == ["both", "bytes"]


def test_a_part_passes_on_what_it_is_told_and_takes_a_total_of_nothing():
    watch = Watch()
    part = PartOfWork(watch)
    part.start(0)
    part.advance()
    part.doing("this")
    part.finished("a result")
    part.note("A sentence.")
    assert (watch.done, watch.steps, watch.results, watch.notes) == (
        0, ["this"], ["a result"], ["A sentence."])


@pytest.mark.parametrize("kind", [Silent, PartOfWork, Watch])
def test_every_watcher_takes_what_the_protocol_names(kind):
    for name, method in inspect.getmembers(Progress, inspect.isfunction):
        if not name.startswith("_"):
            assert list(inspect.signature(getattr(kind, name)).parameters) == list(
                inspect.signature(method).parameters), name


def test_silence_takes_anything():
    SILENT.start(5, "work")
    SILENT.advance(2)
    SILENT.doing("x")
    SILENT.finished(object())
    SILENT.note("A sentence.")
