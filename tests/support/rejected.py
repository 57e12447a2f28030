"""Constructors of components that must refuse their arguments."""

import gc

import pytest


def assert_rejected(make, error, match):
    """``make()`` raises ``error``; the half-made component is freed here, where it may warn."""
    with pytest.raises(error, match=match):
        make()
    gc.collect()
