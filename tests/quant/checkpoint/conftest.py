"""Tiny checkpoints shared by the tests of this folder."""

import shutil

import pytest

from support.checkpoints import VARIANTS, write_bitnet, write_variant


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """``library(name)``: a checkpoint of ``VARIANTS`` or a BitNet storage; not to be changed."""
    root = tmp_path_factory.mktemp("checkpoints")

    def get(name):
        folder = root / name
        if not folder.exists():
            if name in VARIANTS:
                write_variant(folder, VARIANTS[name])
            else:
                write_bitnet(folder, name)
        return folder

    return get


@pytest.fixture
def copy_of(library, tmp_path):
    """``copy_of(name)``: a copy of a checkpoint of the library, to be damaged."""

    def get(name):
        return shutil.copytree(library(name), tmp_path / name)

    return get
