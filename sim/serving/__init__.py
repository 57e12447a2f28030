"""Many requests on one device: a trace of them, what a batch costs, and who goes when."""

from .costs import BatchCosts
from .processor_costs import ProcessorBatchCosts
from .requests import Request, generate_requests, read_requests
from .results import Serving
from .serve import serve

__all__ = [
    "BatchCosts", "ProcessorBatchCosts", "Request", "Serving", "generate_requests",
    "read_requests", "serve",
]
