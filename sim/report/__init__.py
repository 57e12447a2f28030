"""The report of an estimate: one HTML file that opens offline, and the same numbers as JSON."""

from .document import report_json, tool_versions, write_json, write_report

__all__ = ["report_json", "tool_versions", "write_json", "write_report"]
