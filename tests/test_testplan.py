"""The test plan names blocks and tests that exist."""

import ast
import tomllib
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ROOT = TESTS.parent
FEATURES = tomllib.loads((TESTS / "testplan.toml").read_text())["feature"]


def functions(path):
    return {node.name for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature["name"])
def test_a_feature_names_its_block_and_tests_that_exist(feature):
    assert feature.keys() - {"missing"} == {"name", "block", "tests", "status"}
    assert (ROOT / feature["block"]).is_file(), f"There is no block {feature['block']}"
    assert feature["tests"]
    for test in feature["tests"]:
        file, _, name = test.partition("::")
        assert (ROOT / file).is_file(), f"There is no {file}"
        found = functions(ROOT / file)
        assert found if not name else name in found, f"There is no test {test}"


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature["name"])
def test_a_status_says_what_is_missing(feature):
    assert feature["status"] in ("done", "partial")
    assert ("missing" in feature) == (feature["status"] == "partial")


def test_no_feature_is_planned_twice():
    names = [feature["name"] for feature in FEATURES]
    assert sorted(set(names)) == sorted(names)
