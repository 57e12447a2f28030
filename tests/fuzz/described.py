"""Targets: what describes a device, an accelerator, a shape, an earlier run, requests, a folder.

Whatever is accepted is used: it is estimated with, compared, shown, and written as JSON.
"""

from __future__ import annotations

import json
import random
import shutil
import zlib
from functools import cache
from pathlib import Path

from support.json_mutations import change_json
from support.toml_mutations import change_toml
from trilobite.api.inspect import inspect
from trilobite.errors import CheckpointError, EstimateError
from trilobite.quant.output.manifest import Manifest
from trilobite.quant.pipeline import quantize
from trilobite.sim.descriptions.accelerator import load_accelerator
from trilobite.sim.descriptions.device import Device, load_device
from trilobite.sim.descriptions.presets import constants, read_device
from trilobite.sim.descriptions.shapes import load_shape
from trilobite.sim.descriptions.soc import Soc
from trilobite.sim.descriptions.tables import bundled_folder
from trilobite.sim.formulas.estimate import estimate
from trilobite.sim.formulas.results import Estimate
from trilobite.sim.report import compare_runs, read_run, report_csv, report_json
from trilobite.sim.report.page import page
from trilobite.sim.serving import read_requests
from trilobite.sim.this_machine.runtime_estimate import estimate_runtime
from trilobite.tools.json_text import json_text

__all__ = ["MUTATORS", "SEEDS", "TARGETS"]

_SHAPE, _DEVICE, _HARDWARE = "bitnet-0.73b", "kv260", "tlmm-kv260"


def device(data: bytes, scratch: Path) -> None:
    """A device's TOML: an estimate on it, of the runtime if it is a SoC."""
    path = scratch / "device.toml"
    path.write_bytes(data)
    try:
        described = read_device(str(path))
        assert list(constants(described))
        if isinstance(described, Soc):
            estimate_runtime(described, load_shape(_SHAPE).config, "ternary", 8)
        else:
            _use(_estimated(described))
    except EstimateError as error:
        assert str(error)


def accelerator(data: bytes, scratch: Path) -> None:
    """An accelerator's TOML: an estimate by its constants."""
    path = scratch / "accelerator.toml"
    path.write_bytes(data)
    try:
        described = load_accelerator(str(path))
        _use(estimate(load_shape(_SHAPE), load_device(_DEVICE), described.formulas, 8, 4))
    except EstimateError as error:
        assert str(error)


def shape(data: bytes, scratch: Path) -> None:
    """A shape's TOML: an estimate of it."""
    path = scratch / "shape.toml"
    path.write_bytes(data)
    try:
        _use(estimate(load_shape(str(path)), load_device(_DEVICE),
                      load_accelerator(_HARDWARE).formulas, 8, 4))
    except EstimateError as error:
        assert str(error)


def run(data: bytes, scratch: Path) -> None:
    """The JSON of an earlier run: compared with one of now, as a page and as JSON."""
    path = scratch / "run.json"
    path.write_bytes(data)
    now = _now()
    try:
        compared = compare_runs(read_run(path), [now])
    except EstimateError as error:
        assert str(error)
        return
    page([now], {}, compared)
    json_text(report_json([now], {}, compared))


def requests(data: bytes, scratch: Path) -> None:
    """A trace of requests, .csv or .jsonl as the bytes decide."""
    path = scratch / ("trace.csv" if zlib.crc32(data) % 2 else "trace.jsonl")
    path.write_bytes(data)
    try:
        assert read_requests(path)
    except EstimateError as error:
        assert str(error)


def manifest(data: bytes, scratch: Path) -> None:
    """The manifest.json of a quantized folder: shown, and read back."""
    folder = scratch / "quantized"
    if not folder.exists():
        _quantized(scratch, folder)
    (folder / "manifest.json").write_bytes(data)
    try:
        json_text(inspect(folder).to_json())
    except CheckpointError as error:
        assert str(error)
    try:
        Manifest.from_json(data.decode("utf-8", "replace"))
    except CheckpointError as error:
        assert str(error)


def _estimated(board: Device) -> Estimate:
    return estimate(load_shape(_SHAPE), board, load_accelerator(_HARDWARE).formulas, 8, 4)


@cache
def _now() -> Estimate:
    return _estimated(load_device(_DEVICE))


def _use(result: Estimate) -> None:
    """Write all that a command writes of an estimate; a number that is not finite is a finding."""
    json_text(report_json([result]))
    report_csv([result])
    page([result], {})


def _quantized(scratch: Path, folder: Path) -> None:
    from support.llama_folder import write_llama

    source = scratch / "described-source"
    if not source.exists():
        write_llama(source)
    quantize(source, folder, "int8")


def _tomls(folder: str, *names: str) -> list[bytes]:
    return [(bundled_folder(folder) / f"{name}.toml").read_bytes() for name in names]


def _trace_seeds() -> list[bytes]:
    rows = [(0.5 * i, 10 + i, 1 + i) for i in range(4)]
    lines = [json.dumps(dict(zip(("arrival", "prompt", "output"), row, strict=True)))
             for row in rows]
    table = "\n".join(["arrival,prompt,output", *(",".join(map(str, row)) for row in rows)])
    return ["\n".join(lines).encode(), table.encode()]


def _change_line(data: bytes, source: random.Random) -> bytes:
    """One line of a trace changed, as JSON if it is that; or a long field, or a value more."""
    lines = data.splitlines()
    if not lines:
        return data
    place = source.randrange(len(lines))
    hostile = source.choice((b",1", b"1" * 140_000, b'"', b"\0", b"e999", "\u2028".encode()))
    lines[place] = change_json(lines[place], source) or lines[place] + hostile
    return b"\n".join(lines)


def _manifest_seeds(scratch: Path) -> list[bytes]:
    folder = scratch / "quantized"
    _quantized(scratch, folder)
    data = (folder / "manifest.json").read_bytes()
    shutil.rmtree(folder)
    return [data]


TARGETS = {"device": device, "accelerator": accelerator, "shape": shape, "run": run,
           "requests": requests, "manifest": manifest}
MUTATORS = {
    **dict.fromkeys(("device", "accelerator", "shape"), change_toml),
    **dict.fromkeys(("run", "manifest"), lambda data, source: change_json(data, source) or data),
    "requests": _change_line,
}
SEEDS = {
    "device": lambda scratch: _tomls("devices", "kv260", "snapdragon-8-gen-3"),
    "accelerator": lambda scratch: _tomls("accelerators", "tlmm-kv260", "kv260"),
    "shape": lambda scratch: _tomls("shapes", "bitnet-0.73b", "llama-2-7b"),
    "run": lambda scratch: [json.dumps(report_json([_now()])).encode()],
    "requests": lambda scratch: _trace_seeds(),
    "manifest": _manifest_seeds,
}
