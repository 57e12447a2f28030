"""Which request's prefill and decode go when: a policy a file, by name in ``POLICIES``."""

from .chunked import Chunked
from .flow import FlowPrefill
from .layered import Layered
from .whole_prompts import WholePrompt

__all__ = ["POLICIES", "Chunked", "FlowPrefill", "Layered", "WholePrompt"]

POLICIES = {policy.name: policy for policy in (WholePrompt, Chunked, Layered, FlowPrefill)}
