"""Plain ports, cycle by cycle: for components that are not made of streams alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from ....tools.scratch import scratch_folder
from .build import Build
from .run import run_tests

__all__ = ["sample"]

FOLDER_VARIABLE = "TRILOBITE_VECTORS"


def sample(build: Build, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Apply one row of ``inputs`` per cycle after a reset, and record every output port.

    ``inputs`` is uint8 [cycles, bytes] by port, least significant bit first; ports that are not
    named stay 0. The result has the same form: row t is what the outputs show in the cycle in which
    row t of the inputs is applied.

    Raises
    ------
    ToolError
        The simulation failed.
    """
    with scratch_folder() as folder:
        np.savez(folder / "inputs.npz", **dict[str, Any](inputs))
        np.savez(folder / "ports.npz", inputs=build.design.inputs, outputs=build.design.outputs)
        run_tests(build, __name__, ["apply"],
                  environment={FOLDER_VARIABLE: str(folder)})
        with np.load(folder / "outputs.npz") as outputs:
            return dict(outputs)


@cocotb.test()
async def apply(dut: Any) -> None:
    """Runs inside the simulator: apply the rows that ``sample`` left, record the outputs."""
    folder = Path(os.environ[FOLDER_VARIABLE])
    with np.load(folder / "ports.npz") as ports:
        handles = {name: getattr(dut, name) for name in (*ports["inputs"], *ports["outputs"])}
        names = {kind: [str(name) for name in ports[kind]] for kind in ports}
    for name in names["inputs"]:
        handles[name].value = 0
    edge = RisingEdge(dut.clk)
    Clock(dut.clk, 10, unit="ns").start()
    dut.rst.value = 1
    await edge
    await edge
    dut.rst.value = 0
    with np.load(folder / "inputs.npz") as file:
        rows = {name: [int.from_bytes(row.tobytes(), "little") for row in file[name]]
                for name in file.files}
    recorded: dict[str, list[int]] = {name: [] for name in names["outputs"]}
    for cycle in range(max(map(len, rows.values()))):
        for name, values in rows.items():
            handles[name].value = values[cycle]
        await edge
        for name, values in recorded.items():
            values.append(int(handles[name].value))
    outputs: dict[str, Any] = {
        name: _bytes(values, -(-len(handles[name]) // 8)) for name, values in recorded.items()
    }
    np.savez(folder / "outputs.npz", **outputs)


def _bytes(values: list[int], width: int) -> np.ndarray:
    data = b"".join(value.to_bytes(width, "little") for value in values)
    return np.frombuffer(data, np.uint8).reshape(len(values), width)
