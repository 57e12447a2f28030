"""Options and skips that hold for the whole suite."""

import shutil

import pytest


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow")


def pytest_collection_modifyitems(config, items):
    missing_icarus = shutil.which("iverilog") is None
    for item in items:
        if "slow" in item.keywords and not config.getoption("--slow"):
            item.add_marker(pytest.mark.skip(reason="slow: run with --slow"))
        if "icarus" in item.keywords and missing_icarus:
            item.add_marker(pytest.mark.skip(reason="iverilog is not on PATH"))
