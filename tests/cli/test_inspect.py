from support.command import run, run_json


def test_a_line_for_all_layers_or_for_each_tensor(ternary):
    shown = run("inspect", ternary).stdout
    assert "layers.*.self_attn.q_proj" in shown
    assert "3,414,272" in shown
    every = run_json("inspect", ternary, "--all")
    assert every["quantization"]["format"] == "ternary"
    assert len(every["tensors"]) == 46
    assert every["config"]["num_layers"] == 4
    assert "layers.3.self_attn.q_proj" in run("inspect", ternary, "--all").stdout
