"""The cache's warnings are sentences; others are left as they are."""

import warnings

import pytest

from trilobite.cli.warned import shows_cache_warnings
from trilobite.tools.cache import CacheWarning


def test_a_warning_of_the_cache_is_a_sentence_on_standard_error(capsys):
    with shows_cache_warnings():
        warnings.warn("The folder [bold]\x1b x is damaged", CacheWarning, stacklevel=1)
    told = capsys.readouterr()
    assert told.err == "Warning: The folder [bold]\\x1b x is damaged\n" and told.out == ""


def test_other_warnings_are_left_alone():
    with pytest.warns(UserWarning, match="other"), shows_cache_warnings():
        warnings.warn("other", UserWarning, stacklevel=1)
