"""Every reader for a moment, by mutation; ``run.py`` does it for hours, guided by coverage."""

import pytest

from fuzz.run import run_plain
from fuzz.targets import SEEDS, TARGETS


@pytest.mark.parametrize("target", TARGETS)
def test_a_mutated_file_is_read_or_refused(target, tmp_path_factory, tmp_path):
    seeds = SEEDS[target](tmp_path_factory.mktemp("seeds"))
    if target != "index":
        for data in seeds:
            TARGETS[target](data, tmp_path)
    run_plain(target, seeds, 0.5, tmp_path, seed=0)   # raises what a reader must not raise


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_for_a_minute(target, tmp_path_factory, tmp_path):
    seeds = SEEDS[target](tmp_path_factory.mktemp("seeds"))
    run_plain(target, seeds, 60.0, tmp_path, seed=1)
