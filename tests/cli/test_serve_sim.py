import pytest

from support.command import refuses, run, run_json


def test_every_policy_has_a_row_and_the_json_its_requests(tmp_path):
    options = ("serve-sim", "bitnet-0.73b", "--requests", "3", "--prompt", "8", "--output", "2")
    printed = run(*options).stdout
    value = run_json(*options)
    assert len(value["requests"]) == 3
    assert [row["policy"] for row in value["policies"]] == ["whole", "chunked", "layered", "flow"]
    for row in value["policies"]:
        assert row["policy"] in printed
    trace = tmp_path / "requests.csv"
    trace.write_text("arrival,prompt,output\n0,8,2\n0.5,9,1\n")
    read = run_json("serve-sim", "bitnet-0.73b", "--trace", trace, "--policy", "chunked")
    assert [one["prompt"] for one in read["requests"]] == [8, 9]
    assert len(read["policies"]) == 1


@pytest.mark.parametrize(("arguments", "said"), [
    (["--policy", "fair"], "there is no policy 'fair'; there are whole, chunked"),
    (["--trace", "requests.txt"], "a trace of requests is a .csv or a .jsonl file"),
    (["--requests", "0"], "requests"),
    (["--hardware", "none"], "none"),
])
def test_bad_input_is_one_sentence(arguments, said):
    assert refuses(run("serve-sim", "bitnet-0.73b", *arguments), said)
