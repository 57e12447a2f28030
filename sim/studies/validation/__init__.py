"""Our figures against published ones: ``python -m trilobite.sim.studies.validation`` prints the
table.
"""

from .page import page
from .row import Basis, Row
from .rows import all_rows

__all__ = ["Basis", "Row", "all_rows", "page"]
