"""Runs inside the simulator: drives and watches all streams of a component, one wake per cycle.

A cocotb task per stream would wake Python several times per cycle; one loop over the streams
is several times faster. After a rising edge, signals still show their values from before it.
"""

from __future__ import annotations

import itertools
import json
import os
import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from .exchange import FOLDER_VARIABLE
from .run import DONE

PERIOD_NS = 10
QUIET_LIMIT = 20_000   # cycles without any transfer after which a run is given up
DRAIN_CYCLES = 20      # cycles in which nothing more may come out


class BeatSource:
    """Offers beats on an input stream, and holds each one until it is taken."""

    def __init__(self, dut: Any, name: str, beats: Iterable[int], stall: float,
                 rng: random.Random) -> None:
        self.name = name
        self.taken = 0
        self.done = False
        self._payload = getattr(dut, f"{name}__payload")
        self._valid = getattr(dut, f"{name}__valid")
        self._ready = getattr(dut, f"{name}__ready")
        self._beats = iter(beats)
        self._stall = stall
        self._rng = rng
        self._offered = False

    def step(self) -> bool:
        """After a rising edge: was a beat taken at it? Then decide about the next cycle."""
        taken = self._offered and bool(self._ready.value)
        if taken:
            self.taken += 1
        if taken or not self._offered:
            self._offer_next()
        return taken

    def _offer_next(self) -> None:
        was_offered, self._offered = self._offered, False
        if not self.done and not (self._stall and self._rng.random() < self._stall):
            beat = next(self._beats, None)
            self.done = beat is None
            if beat is not None:
                self._offered = True
                self._payload.value = beat
        if was_offered != self._offered:
            self._valid.value = int(self._offered)

    def stop(self) -> None:
        """Offer nothing more."""
        self._valid.value = 0


class Sink:
    """Takes beats from an output stream, and checks that each one is held until taken."""

    def __init__(self, dut: Any, name: str, expected: int, stall: float,
                 rng: random.Random) -> None:
        self.name = name
        self.beats: list[int] = []
        self.width_bytes = -(-len(getattr(dut, f"{name}__payload")) // 8)
        self._payload = getattr(dut, f"{name}__payload")
        self._valid = getattr(dut, f"{name}__valid")
        self._ready = getattr(dut, f"{name}__ready")
        self._expected = expected
        self._stall = stall
        self._rng = rng
        self._accepting = False
        self._held: int | None = None

    @property
    def done(self) -> bool:
        """All expected beats have come."""
        return len(self.beats) >= self._expected

    def step(self) -> bool:
        """After a rising edge: was a beat taken at it? Then decide about the next cycle."""
        beat = int(self._payload.value) if self._valid.value else None
        if self._held is not None:
            assert beat == self._held, (
                f"{self.name} offered {self._held:#x}, was not taken, and went on to "
                f"{'nothing' if beat is None else hex(beat)}")
        taken = False
        if beat is not None and self._accepting:
            taken = True
            self.beats.append(beat)
            assert len(self.beats) <= self._expected, (
                f"{self.name} gave more than the expected {self._expected} beats")
        self._held = None if taken else beat
        accepting = not (self._stall and self._rng.random() < self._stall)
        if accepting != self._accepting:
            self._accepting = accepting
            self._ready.value = int(accepting)
        return taken

    def stop(self) -> None:
        """Take nothing more."""
        self._ready.value = 0

    def array(self) -> np.ndarray:
        """The beats taken, uint8 [beats, bytes]."""
        data = b"".join(beat.to_bytes(self.width_bytes, "little") for beat in self.beats)
        return np.frombuffer(data, np.uint8).reshape(len(self.beats), self.width_bytes)


async def reset(dut: Any, edge: RisingEdge) -> None:
    """Hold the reset for two cycles."""
    dut.rst.value = 1
    await edge
    await edge
    dut.rst.value = 0


async def run(edge: RisingEdge, sources: list[BeatSource], sinks: list[Sink],
              cycle_limit: int | None) -> int:
    """Run until everything has passed (or for ``cycle_limit`` cycles), and count the cycles."""
    ports: list[BeatSource | Sink] = [*sources, *sinks]
    first = last = None
    quiet = drained = 0
    for cycle in itertools.count():
        if cycle == cycle_limit or drained == DRAIN_CYCLES:
            break
        taken = [source.step() for source in sources]
        given = [sink.step() for sink in sinks]
        if first is None and any(taken):
            first = cycle
        if any(given):
            last = cycle
        quiet = 0 if any(taken) or any(given) else quiet + 1
        finished = all(port.done for port in ports)
        drained = drained + 1 if finished else 0
        assert quiet < QUIET_LIMIT, _stuck(sources, sinks)
        await edge
    for port in ports:
        port.stop()
    return 0 if first is None or last is None else last - first + 1


def _stuck(sources: list[BeatSource], sinks: list[Sink]) -> str:
    counts = [f"{source.name} took {source.taken}" for source in sources]
    counts += [f"{sink.name} gave {len(sink.beats)}" for sink in sinks]
    return f"nothing moved for {QUIET_LIMIT} cycles ({', '.join(counts)} beats)"


def _integers(beats: np.ndarray, repeats: int) -> Iterator[int]:
    words = [int.from_bytes(beat.tobytes(), "little") for beat in beats]
    return itertools.chain.from_iterable(itertools.repeat(words, repeats))


@cocotb.test()
async def traffic(dut: Any) -> None:
    """Run all traffic that ``exchange`` left in the folder; leave what came out there."""
    folder = Path(os.environ[FOLDER_VARIABLE])
    settings = json.loads((folder / "traffic.json").read_text())
    arrays: dict[str, Any] = {}
    cycles = []
    edge = RisingEdge(dut.clk)
    for name in settings[0]["inputs"]:
        getattr(dut, f"{name}__valid").value = 0
        getattr(dut, f"{name}__payload").value = 0
    for name in settings[0]["outputs"]:
        getattr(dut, f"{name}__ready").value = 0
    dut.rst.value = 0
    Clock(dut.clk, PERIOD_NS, unit="ns").start()
    await reset(dut, edge)
    with np.load(folder / "inputs.npz") as inputs:
        for number, setting in enumerate(settings):
            stall = setting["stall"]
            rngs = {name: random.Random(f"{setting['seed']} {name}") for name in stall}
            sources = [
                BeatSource(dut, name, _integers(inputs[f"{number}/{name}"], repeats),
                       stall.get(name, 0), rngs.get(name, random.Random(0)))
                for name, repeats in setting["inputs"].items()
            ]
            sinks = [
                Sink(dut, name, expected, stall.get(name, 0), rngs.get(name, random.Random(0)))
                for name, expected in setting["outputs"].items()
            ]
            cycles.append(await run(edge, sources, sinks, setting["reset_after"]))
            arrays |= {f"{number}/{sink.name}": sink.array() for sink in sinks}
            print(DONE, flush=True)
            if setting["reset_after"] is not None:
                await reset(dut, edge)
    np.savez(folder / "outputs.npz", **arrays)
    (folder / "cycles.json").write_text(json.dumps(cycles))
