"""Traces of requests: files read and refused, and drawn ones."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from trilobite.cli import app
from trilobite.errors import EstimateError
from trilobite.sim.serving import Request, generate_requests, read_requests


@pytest.mark.parametrize("name, text", [
    ("a.csv", "arrival,prompt,output\n2.5,7,3\n0,128,64\n"),
    ("a.csv", "\ufeffarrival,prompt,output\r\n2.5,7,3\r\n0,128,64\r\n"),   # as Excel writes it
    ("a.jsonl", '{"arrival": 2.5, "prompt": 7, "output": 3}\n\n'
                '{"output": 64, "prompt": 128, "arrival": 0}\n'),
])
def test_files_are_read_in_order_of_arrival(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert read_requests(tmp_path / name) == [Request(0.0, 128, 64), Request(2.5, 7, 3)]


@pytest.mark.parametrize("name, text, message", [
    ("a.csv", "arrival,prompt\n1,2\n", "first line must be arrival,prompt,output"),
    ("a.csv", "", "first line must be"),
    ("a.csv", "arrival,prompt,output\n", "holds no request"),
    ("a.csv", "arrival,prompt,output\n1,2,3\n1,x,3\n", "line 3: arrival must be a number"),
    ("a.csv", "arrival,prompt,output\n1,2\n", "line 2: arrival must be a number"),
    ("a.csv", "arrival,prompt,output\nnan,2,3\n", "line 2: arrival must be at least 0"),
    ("a.csv", "arrival,prompt,output\n1,0,3\n", "line 2: prompt must be 1 to"),
    ("a.jsonl", "{\n", "line 1 is not JSON"),
    ("a.jsonl", "[" * 100_000, "line 1 is not JSON"),
    ("a.jsonl", '{"arrival": 1}\n', "line 1 must be an object"),
    ("a.jsonl", '{"arrival": 1, "prompt": 2.5, "output": 3}\n', "line 1: arrival must be a"),
    ("a.csv", "arrival,prompt,output\n1,2,3\n" + "1" * 200_000 + ",2,3\n",
     "line 3 is not CSV: field larger than field limit"),
    ("a.csv", "arrival," + "p" * 200_000 + ",output\n1,2,3\n", "line 1 is not CSV"),
    ("a.csv", "arrival,prompt,output\n1,2,3,4\n", "line 2: there must be 3 values, no more"),
    ("a.csv", "arrival,prompt,output,output\n1,2,3,4\n", "first line must be"),
    ("a.csv", "arrival,prompt,output\n1e300,2,3\n", "at least 0 seconds and at most 1e[+]09"),
    ("a.jsonl", '{"arrival": 1, "prompt": 1' + "0" * 5000 + ', "output": 3}', "is not JSON"),
    ("a.txt", "1 2 3", "is a .csv or a .jsonl file"),
    ("a.csv", b"\xff", "is not UTF-8"),
])
def test_malformed_files_are_refused_by_line(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(EstimateError, match=message):
        read_requests(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(EstimateError, match="cannot be read"):
        read_requests(tmp_path / "none.csv")


def test_a_negative_seed_is_refused():
    result = CliRunner().invoke(app, ["serve-sim", "bitnet-0.73b", "--seed", "-1"])
    assert result.exit_code == 2 and "the seed must not be negative, and is -1" in result.output


def test_drawn_requests_follow_their_seed_and_means():
    drawn = generate_requests(4000, 2.0, 100, 20, seed=1)
    assert drawn == generate_requests(4000, 2.0, 100, 20, seed=1)
    assert drawn != generate_requests(4000, 2.0, 100, 20, seed=2)
    assert drawn[-1].arrival / 4000 == pytest.approx(0.5, rel=0.05)
    prompts, outputs = np.array([(one.prompt, one.output) for one in drawn]).T
    assert (prompts.min(), prompts.max(), outputs.min(), outputs.max()) == (50, 150, 10, 30)
    assert prompts.mean() == pytest.approx(100, rel=0.02)
    for wrong in ((0, 1.0, 1, 1), (1, 0.0, 1, 1), (1, 1.0, 0, 1), (1, float("nan"), 1, 1)):
        with pytest.raises(EstimateError):
            generate_requests(*wrong)


def test_the_command_prints_what_its_json_holds(tmp_path):
    trace = tmp_path / "trace.csv"
    trace.write_text("arrival,prompt,output\n0,64,4\n0.01,16,4\n")
    arguments = ["serve-sim", "bitnet-0.73b", "--trace", str(trace)]
    value = json.loads(CliRunner().invoke(app, [*arguments, "--json", "-"]).stdout)
    assert [one["policy"] for one in value["policies"]] == ["whole", "chunked", "layered", "flow"]
    assert {one["output_tokens"] for one in value["policies"]} == {8}
    wrong = CliRunner().invoke(app, [*arguments, "--policy", "none"])
    assert wrong.exit_code == 2
    assert "there is no policy 'none'" in " ".join(wrong.output.split())
