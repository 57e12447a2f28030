"""The report of an estimate: one HTML file that opens offline, and the same numbers as JSON."""

from .document import report_json, tool_versions, write_json, write_report
from .numbers import digits, scaled

__all__ = ["digits", "report_json", "scaled", "tool_versions", "write_json", "write_report"]
