"""All printing of the commands goes through ``Output``, and no foreign text into a template."""

import ast
from pathlib import Path

import pytest

import trilobite

FOLDER = Path(trilobite.__file__).parent / "cli"
PRINTERS = {"console.py", "failures.py", "text.py", "warned.py"}   # what the rule is about
ECHO = {"app.py", "verify.py"}                          # the version; a note of our own words


def called(node):
    """The name of what a call calls: of ``output.print`` it is ``print``."""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def is_literal(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def faults(source, name="x.py"):
    """What in the ``source`` of a file of the folder breaks the rule."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in ("console", "stdout", "stderr"):
            yield f"{node.lineno}: .{node.attr} by itself"
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id == "print":
            yield f"{node.lineno}: the built-in print"
        if called(node) in ("echo", "secho") and name not in ECHO:
            yield f"{node.lineno}: typer.{called(node)}"
        templates = called(node) in ("print", "aside", "marked", "status")
        if templates and node.args and not is_literal(node.args[0]):
            yield f"{node.lineno}: the template of {called(node)} is no literal"
        if called(node) == "from_markup":
            yield f"{node.lineno}: markup that is not of marked"


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.py")), ids=lambda file: file.name)
def test_commands_print_through_output_with_literal_templates(file):
    if file.name not in PRINTERS | {"start.py", "choices.py"}:
        assert list(faults(file.read_text(), file.name)) == []


@pytest.mark.parametrize(("source", "fault"), [
    ("print('x')", True), ("output.print(f'[b]{name}[/]')", True), ("output.print(name)", True),
    ("output.print('a' + name)", True), ("output.print('{}'.format(name))", True),
    ("output.console.print('x')", True), ("typer.echo(name)", True), ("sys.stderr.write(x)", True),
    ("marked(name)", True), ("output.status(f'Loading {name}')", True),
    ("Text.from_markup(name)", True),
    ("output.print()", False), ("output.print('{} of {}', name, f'{x:.1f}')", False),
    ("output.show(table)", False), ("output.line(f'{name}: {note}')", False),
    ("output.print('a '\n 'b {}', name)", False),
])
def test_what_the_rule_refuses(source, fault):
    assert bool(list(faults(source))) == fault


def test_no_command_imports_what_prints_around_output():
    for file in FOLDER.glob("*.py"):
        if file.name not in PRINTERS | {"choices.py"}:
            imported = {alias.name for node in ast.walk(ast.parse(file.read_text()))
                        if isinstance(node, ast.ImportFrom) for alias in node.names}
            assert not imported & {"make_console", "Console", "pprint"}, file.name


def test_a_plain_string_is_not_shown():
    from trilobite.cli.console import Output

    with pytest.raises(TypeError, match="markup"):
        Output().show("[bold]")
