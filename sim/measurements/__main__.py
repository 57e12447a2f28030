"""Print docs/explanation/measured.md, or with ``fit`` write sim/processors/fitted.toml."""

import sys

from ..processors.shares import fitted_file
from .fit import fitted_text
from .page import page

if sys.argv[1:] == ["fit"]:
    fitted_file().write_text(fitted_text(), encoding="utf-8")
else:
    sys.stdout.write(page())
