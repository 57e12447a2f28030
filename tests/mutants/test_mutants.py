"""The list of mutants, and the command that tries them."""

import ast

import pytest

from mutants.run import ROOT, Mutant, copy_of, main, mutated, read_mutants, run_tests, tried

MUTANTS = read_mutants()


def test_there_are_enough_and_no_name_stands_twice():
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 60
    assert {mutant.file.split("/")[0] for mutant in MUTANTS} == {"hw", "fpga"}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_a_change_of_one_place_that_python_can_read(mutant):
    text = (ROOT / mutant.file).read_text()
    assert ast.dump(ast.parse(mutated(text, mutant))) != ast.dump(ast.parse(text))
    assert mutant.tests
    assert all((ROOT / test.split("::")[0]).is_file() for test in mutant.tests)


@pytest.fixture
def package(tmp_path):
    """A package of one function, and its tests."""
    (tmp_path / "of" / "tests").mkdir(parents=True)
    (tmp_path / "of" / "__init__.py").write_text("")
    (tmp_path / "of" / "sums.py").write_text("def add(a, b):\n    return a + b\n")
    (tmp_path / "of" / "tests" / "test_sums.py").write_text(
        "from trilobite.sums import add\n\n\ndef test_add():\n    assert add(0, 2) == 2\n")
    (tmp_path / "to").mkdir()
    return copy_of(tmp_path / "of", tmp_path / "to")


def test_a_mutant_is_killed_survives_or_breaks_and_leaves_the_file_as_it_was(package):
    tests, right = ("tests/test_sums.py",), (package / "sums.py").read_text()
    assert run_tests(tests, package) == "survived"
    for new, became in (("a - b", "killed"), ("b + a", "survived"), ("a | b", "survived")):
        assert tried(Mutant("x", "sums.py", "a + b", new, tests), package) == became
        assert (package / "sums.py").read_text() == right
    assert tried(Mutant("x", "sums.py", "a + b", "a - b", ("tests/none.py",)), package) == "broken"


def test_a_line_that_is_not_there_once_is_refused():
    with pytest.raises(ValueError, match="x: f has 'a' 2 times, not once"):
        mutated("a a", Mutant("x", "f", "a", "b"))


def test_the_list_is_printed_and_an_unknown_name_refused(capsys):
    assert main(["--list"]) == 0
    assert capsys.readouterr().out.count("\n") == len(MUTANTS)
    with pytest.raises(SystemExit):
        main(["no such mutant"])
    assert "there is no mutant no such mutant" in capsys.readouterr().err
