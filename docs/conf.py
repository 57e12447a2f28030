"""Configuration of the documentation's site; `make docs` builds it."""

import gc
import sys
from pathlib import Path

import trilobite

gc.disable()   # hundreds of pages of nodes stay to the end; looking through them takes seconds

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "Trilobite"
author = "The Trilobite authors"
copyright = author
release = version = trilobite.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "command_reference",
    "python_reference",
]
exclude_patterns = ["extensions", "**.ipynb_checkpoints"]
smartquotes = False
# Words such as `tokens` in types of docstrings fit several attributes; no link is right there.
suppress_warnings = ["ref.python"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
nb_execution_mode = "off"   # the tests run the notebooks

autodoc_typehints = "description"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = "Trilobite"
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
