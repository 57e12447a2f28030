"""Search of accelerators: costs of a million designs at once, and those that none dominates."""

from .answer import answer
from .lut_model import load_synthesized
from .model import Costs, space_costs
from .pareto import grid_front, pareto_front
from .perplexity import Perplexities, load_perplexities
from .search import BEST, ROUTABLE, Found, Limits, Result, search
from .space import FORMATS, Design, Space, make_spaces

__all__ = [
           "BEST",
           "FORMATS",
           "ROUTABLE",
           "Costs",
           "Design",
           "Found",
           "Limits",
           "Perplexities",
           "Result",
           "Space",
           "answer",
           "grid_front",
           "load_perplexities",
           "load_synthesized",
           "make_spaces",
           "pareto_front",
           "search",
           "space_costs",
]
