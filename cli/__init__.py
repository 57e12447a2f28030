"""The ``trilobite`` command: a subcommand calls one function of ``commands``.

Importing a module of commands registers them, in the order in which ``--help`` lists them.
"""

from . import models  # isort: skip
from . import hardware  # isort: skip
from . import estimates  # isort: skip
from .app import app

__all__ = ["app", "estimates", "hardware", "main", "models"]


def main() -> None:
    """Run the command line."""
    app()
