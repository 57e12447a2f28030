"""The Chrome trace: what Perfetto needs, and the same times as the timeline."""

import gzip
import json
import os

import pytest

from support.full_disk import full_disk
from trilobite.errors import OutputError
from trilobite.sim.events import (
    Channel,
    Kind,
    System,
    Task,
    Unit,
    chrome_trace,
    simulate,
    write_trace,
)

TIMELINE = simulate(
    System.of([Unit("NPU", Kind.NPU)], [Channel("DRAM", Kind.DRAM, 2e9)]),
    [Task("layer 0", "NPU", transfers={"DRAM": 1e9}, label="matmul"),
     Task("layer 1", "NPU", compute=0.25, start=0.25, after=("layer 0",))],
)


def test_the_events_by_hand():
    events = chrome_trace({"decode": TIMELINE})["traceEvents"]
    spans = [(event["name"], event["ts"], event["dur"]) for event in events if event["ph"] == "X"]
    assert spans == [("matmul", 0.0, 5e5), ("layer 1", 5e5, 5e5)]
    names = [event["args"]["name"] for event in events if event["ph"] == "M"]
    assert names == ["decode", "NPU"]
    loads = [(event["ts"], event["args"]["GB/s"]) for event in events if event["ph"] == "C"]
    assert loads == [(0.0, 2.0), (5e5, 0.0), (1e6, 0.0)]
    assert {event["pid"] for event in events} == {1}


@pytest.mark.parametrize("name", ["trace.json", "trace.json.gz"])
def test_a_written_trace_is_json_and_the_same_each_time(tmp_path, name):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write_trace({"decode": TIMELINE, "again": TIMELINE}, tmp_path / folder / name)
    first, second = ((tmp_path / folder / name).read_bytes() for folder in ("one", "two"))
    assert first == second
    text = gzip.decompress(first) if name.endswith(".gz") else first
    assert {event["pid"] for event in json.loads(text)["traceEvents"]} == {1, 2}


def test_a_full_disk_leaves_the_older_file(tmp_path, monkeypatch):
    path = tmp_path / "trace.json"
    path.write_text("older")
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OutputError, match="trace.json cannot be written: No space left"):
        write_trace({"decode": TIMELINE}, path)
    assert path.read_text() == "older" and list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_explained(tmp_path):
    with pytest.raises(OutputError, match="cannot be written: the folder .*/none does not exist"):
        write_trace({"decode": TIMELINE}, tmp_path / "none" / "trace.json")
