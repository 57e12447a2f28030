"""Event-driven simulation: tasks on typed units that share memory channels, and what ran when."""

from .engine import simulate
from .system import Channel, Kind, System, Unit
from .task import Task
from .timeline import Load, Span, Timeline, TimelineEnergy
from .trace import chrome_trace, write_trace

__all__ = [
    "Channel",
    "Kind",
    "Load",
    "Span",
    "System",
    "Task",
    "Timeline",
    "TimelineEnergy",
    "Unit",
    "chrome_trace",
    "simulate",
    "write_trace",
]
