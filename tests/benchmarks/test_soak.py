"""The soak finds what grows, and says nothing of what does not."""

import dataclasses
import sys

import pytest
import soak

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")


def readings(**figures):
    """Ninety readings of which some figures are functions of the round."""
    plain = soak.Reading(0.0, 0, 100 << 20, 6, 3, 1000, 50_000)
    return [
        dataclasses.replace(plain, rounds=n, **{name: at(n) for name, at in figures.items()})
        for n in range(90)
    ]


def test_what_stays_or_grows_at_first_alone_is_no_growth():
    assert soak.growth(readings()) == []
    assert soak.growth(readings(
        resident=lambda n: (100 << 20) + min(n, 25) * (10 << 20), files=lambda n: min(n, 20),
        objects=lambda n: 50_000 + n % 7)) == []


@pytest.mark.parametrize(("name", "at"), [
    ("resident", lambda n: (100 << 20) + n * (2 << 20)), ("files", lambda n: 6 + n // 20),
    ("threads", lambda n: 3 + n // 30), ("cache", lambda n: 1000 + n),
    ("objects", lambda n: 50_000 + 20 * n),
])
def test_what_grows_is_named(name, at):
    said, = soak.growth(readings(**{name: at}))
    assert said.startswith(f"{name} grew from ")


def test_too_few_readings_are_refused():
    with pytest.raises(ValueError, match="at least 3 readings"):
        soak.growth(readings()[:2])


def test_a_task_that_keeps_files_open_is_found(tmp_path):
    kept = []

    def leaks(source):
        kept.append((tmp_path / "x").open("w"))

    taken = []
    for one in soak.soak([leaks], 60.0, tmp_path):
        taken.append(one)
        if len(taken) == 9:
            break
    for file in kept:
        file.close()
    assert [said.split()[0] for said in soak.growth(taken)] == ["files"]
    assert [one.rounds for one in taken] == list(range(1, 10))
