"""Commands run as a user types them, and a model to run them on."""

import json

from typer.testing import CliRunner

from trilobite.cli import app


def run(*arguments, typed=None):
    """Run a command; ``typed`` is what stands in standard input, text or bytes."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=typed)


def run_json(*arguments):
    """Run with ``--json -``: standard output must be one JSON value and nothing else."""
    result = run(*arguments, "--json", "-")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refuses(result, said):
    """It ends with exit code 2 and one sentence that has ``said``."""
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
    assert "Traceback" not in result.output
    return True
