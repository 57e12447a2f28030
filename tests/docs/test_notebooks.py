"""The notebooks run from top to bottom; what is kept of them has no output."""

import ast

import pytest

from support.guides import ROOT

NOTEBOOKS = sorted((ROOT / "docs").rglob("*.ipynb"))


def read(path):
    nbformat = pytest.importorskip("nbformat", reason="pip install -e '.[dev]'")   # takes seconds
    return nbformat.read(path, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_there_are_notebooks():
    assert len(NOTEBOOKS) >= 2


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path):
    nbclient = pytest.importorskip("nbclient", reason="pip install -e '.[dev]'")
    notebook = read(path)
    nbclient.NotebookClient(
        notebook, timeout=500, resources={"metadata": {"path": str(tmp_path)}},
    ).execute()
    assert any(cell.outputs for cell in code(notebook))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs_and_imports_the_package_alone(path):
    cells = code(read(path))
    assert [cell for cell in cells if cell.outputs or cell.execution_count] == []
    imports = [node for cell in cells for node in ast.walk(ast.parse(cell.source))
               if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [ast.unparse(node) for node in imports] == ["import trilobite"]
