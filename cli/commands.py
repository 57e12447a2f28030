"""All commands: importing a module registers its command, in the order in which --help has them."""

from . import models  # isort: skip
from . import hardware  # isort: skip
from . import estimates  # isort: skip
from .app import app

__all__ = ["app", "estimates", "hardware", "models"]
