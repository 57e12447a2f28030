"""Print docs/explanation/validation.md."""

import sys

from .page import page

sys.stdout.write(page())
