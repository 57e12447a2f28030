"""The report of an estimate: one HTML file that opens offline; the same numbers as JSON and CSV."""

from .comparison import compare_runs, read_run
from .document import report_json, tool_versions, write_json, write_report
from .front import write_front
from .numbers import digits, range_text, scaled
from .table_file import report_csv, write_csv

__all__ = ["compare_runs", "digits", "range_text", "read_run", "report_csv", "report_json",
           "scaled", "tool_versions", "write_csv", "write_front", "write_json", "write_report"]
