"""Search of accelerators: costs of a million designs at once, and those that none dominates."""

from .lut_model import load_lut_model
from .model import Costs, evaluate
from .pareto import grid_front, pareto_front
from .space import Design, Space, make_space

__all__ = ["Costs", "Design", "Space", "evaluate", "grid_front", "load_lut_model", "make_space",
           "pareto_front"]
