"""Run an Amaranth component under cocotb: build once, exchange streams of beats, compare.

``build`` turns a component into a simulator, cached by content. ``exchange`` feeds its input
streams with prepared beats, with random stalls if wanted, and brings back what came out and how
many cycles it took; ``sample`` does the same for plain ports, cycle by cycle. ``run_tests`` runs a
cocotb module of one's own on the same build.
"""

from .build import Build, build
from .exchange import Observed, Traffic, exchange
from .run import run_tests
from .vectors import sample

__all__ = ["Build", "Observed", "Traffic", "build", "exchange", "run_tests", "sample"]
