"""Many requests on one accelerator: a trace of them, what a batch costs, and who goes when."""

from .costs import BatchCosts
from .requests import Request, generate_requests, read_requests
from .results import Serving
from .serve import serve

__all__ = [
    "BatchCosts", "Request", "Serving", "generate_requests", "read_requests", "serve",
]
