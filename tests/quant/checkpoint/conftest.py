"""Checkpoints to be damaged."""

import shutil

import pytest


@pytest.fixture
def copy_of(library, tmp_path):
    """``copy_of(name)``: a copy of a checkpoint of the library, to be damaged."""

    def get(name):
        return shutil.copytree(library(name), tmp_path / name)

    return get
