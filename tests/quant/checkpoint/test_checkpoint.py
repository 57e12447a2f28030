"""An open checkpoint: what it reads is what was written, and what does not fit is named."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from support.checkpoints import VARIANTS, edit_config, edit_tensors
from trilobite.errors import CheckpointError
from trilobite.quant.checkpoint import open_checkpoint

Q = "model.layers.1.self_attn.q_proj.weight"
EMBEDDING = "model.embed_tokens.weight"


def refusal(folder, message):
    """Opening must fail with a sentence that holds ``message``; the sentence."""
    with pytest.raises(CheckpointError, match=re.escape(message)) as error:
        open_checkpoint(folder)
    return str(error.value)


# Experts of these two have other names, and one tensor each: see test_experts.py.
RENAMED = {"gpt-oss", "mixtral"}


@pytest.mark.parametrize("name", sorted({*VARIANTS} - RENAMED))
def test_every_tensor_reads_as_written(library, name):
    folder = library(name)
    written = {
        name: tensor for file in folder.glob("*.safetensors") for name, tensor in
        load_file(file).items()
    }
    with open_checkpoint(folder) as checkpoint:
        assert set(checkpoint.tensors) == set(written)
        for tensor, info in checkpoint.tensors.items():
            values = checkpoint.read(tensor)
            assert values.dtype == np.float32
            assert info.shape == values.shape
            assert info.nbytes == written[tensor].nbytes
            np.testing.assert_array_equal(values, written[tensor].float().numpy())
            np.testing.assert_array_equal(checkpoint.weight(tensor), values)


@pytest.mark.parametrize("name", ["llama", "llama-bf16", "llama-sharded", "autobitlinear"])
def test_rows_are_slices_of_the_whole(library, name):
    with open_checkpoint(library(name)) as checkpoint:
        whole = checkpoint.read(Q)
        for start, stop in [(0, 64), (0, 1), (63, 64), (10, 50), (5, 5)]:
            np.testing.assert_array_equal(checkpoint.rows(Q, start, stop), whole[start:stop])


def test_what_a_checkpoint_says_of_itself(library):
    folder = library("llama-sharded")
    with open_checkpoint(folder) as checkpoint:
        assert checkpoint.folder == folder
        assert checkpoint.raw_config == json.loads((folder / "config.json").read_text())
        assert list(checkpoint.tensors) == list(checkpoint.config.tensor_shapes())
        assert {info.dtype for info in checkpoint.tensors.values()} == {"F32"}
        assert len({info.file for info in checkpoint.tensors.values()}) > 2
        assert checkpoint.quantization is None
        assert checkpoint.manifest is None
        assert checkpoint.format(Q) is None and checkpoint.stored_format(Q) is None


@pytest.mark.parametrize("name", ["demo-bitnet", "demo-llama"])
def test_shipped_checkpoints_open_by_name(name):
    with open_checkpoint(name) as checkpoint:
        assert checkpoint.config.bitlinear == (name == "demo-bitnet")
        for tensor in checkpoint.tensors:
            checkpoint.read(tensor)


def test_misuse_is_a_programming_error(library):
    with open_checkpoint(library("llama")) as checkpoint:
        with pytest.raises(KeyError, match="has no tensor model.x"):
            checkpoint.read("model.x")
        with pytest.raises(ValueError, match="rows are read of matrices"):
            checkpoint.rows("model.norm.weight", 0, 1)
        with pytest.raises(ValueError, match="has 64 rows, not rows 60 to 65"):
            checkpoint.rows(Q, 60, 65)
        with pytest.raises(ValueError, match="is stored as floats; it has no codes"):
            checkpoint.encoded(Q, 0, 1)


def test_missing_tensors_are_named(copy_of):
    folder = copy_of("llama")
    edit_tensors(folder, lambda tensors: tensors.pop(Q))
    message = refusal(folder, f'the tensor {Q} is in no file, but config.json calls for it ("num_')
    assert message.startswith(str(folder))


@pytest.mark.parametrize(("field", "value", "message"), [
    ("num_hidden_layers", 3, '(and 8 more) is in no file, but config.json calls for it ("num_hi'),
    ("attention_bias", True, 'q_proj.bias (and 7 more) is in no file, but config.json calls for it '
     '("attention_bias" is true)'),
    ("mlp_bias", True, 'gate_proj.bias (and 5 more) is in no file'),
    ("num_hidden_layers", 1, "(and 8 more) is no part of a llama model"),
    ("hidden_size", 32, f"{EMBEDDING} has shape [128, 64]; config.json calls for [128, 32]"),
    ("vocab_size", 127, f"{EMBEDDING} has shape [128, 64]; config.json calls for [127, 64]"),
    ("num_key_value_heads", 4, "k_proj.weight has shape [32, 64]; config.json calls for [64, 64]"),
    ("head_dim", 32, "q_proj.weight has shape [64, 64]; config.json calls for [128, 64]"),
])
def test_config_that_contradicts_the_tensors(copy_of, field, value, message):
    folder = copy_of("llama")
    edit_config(folder, lambda config: config.update({field: value}))
    refusal(folder, message)


def test_untied_model_without_a_head(copy_of):
    folder = copy_of("llama-tied")
    edit_config(folder, lambda config: config.update(tie_word_embeddings=False))
    refusal(folder, 'lm_head.weight is in no file, but config.json calls for it ("tie_word_emb')


def test_unexpected_tensor_is_named(copy_of):
    folder = copy_of("llama")
    edit_tensors(folder, lambda tensors: tensors.update(extra=torch.zeros(1)))
    assert "model.safetensors: the tensor extra is no part" in refusal(folder, "the tensor extra")


def test_rotary_frequencies_of_old_checkpoints_are_passed_over(copy_of):
    folder = copy_of("llama")
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    edit_tensors(folder, lambda tensors: tensors.update({name: torch.zeros(8)}))
    with open_checkpoint(folder) as checkpoint:
        assert name not in checkpoint.tensors


def test_tied_head_that_is_stored_as_well(copy_of):
    folder = copy_of("llama-tied")
    edit_tensors(
        folder, lambda tensors: tensors.update({"lm_head.weight": tensors[EMBEDDING].clone()})
    )
    with open_checkpoint(folder) as checkpoint:
        assert "lm_head.weight" not in checkpoint.tensors
    edit_tensors(folder, lambda tensors: tensors["lm_head.weight"].mul_(2))
    refusal(folder, f"lm_head.weight differs from {EMBEDDING}")


@pytest.mark.parametrize("dtype", [torch.int8, torch.float64, torch.float8_e4m3fn])
def test_types_that_are_no_weights(copy_of, dtype):
    folder = copy_of("llama")
    edit_tensors(folder, lambda tensors: tensors.update({Q: tensors[Q].to(dtype)}))
    assert f"{Q} is stored as" in refusal(folder, "it must be F32, F16 or BF16")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", ["llama", "llama-bf16", "llama-f16"])
def test_values_that_are_not_finite_are_placed(copy_of, name, value):
    folder = copy_of(name)

    def damage(tensors):
        tensors[Q][40, 3] = value
        tensors["model.norm.weight"][7] = value

    edit_tensors(folder, damage)
    with open_checkpoint(folder) as checkpoint:
        checkpoint.rows(Q, 0, 40)
        message = re.escape(f"{Q} holds {value} at [40, 3]")
        with pytest.raises(CheckpointError, match=message):
            checkpoint.rows(Q, 30, 50)
        for read in (checkpoint.read, checkpoint.weight):
            with pytest.raises(CheckpointError, match=message):
                read(Q)
        with pytest.raises(CheckpointError, match=re.escape("norm.weight holds")) as error:
            checkpoint.read("model.norm.weight")
        assert "at [7]" in str(error.value)


def test_truncated_file(copy_of):
    folder = copy_of("llama")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert "it was cut short" in refusal(folder, str(path))


@pytest.mark.parametrize(("content", "message"), [
    (b"", "config.json is not valid JSON"),
    (b"{", "config.json is not valid JSON"),
    (b"\xff", "config.json is not valid JSON"),
    (b"[1]", "config.json holds [1]; it must be a JSON object"),
    (b'{"x":' * 100_000, "config.json is not valid JSON"),
    (b"1" * 5000, "config.json is not valid JSON"),
    (b" " * ((64 << 20) + 1), "config.json is larger than 64 MiB"),
])
def test_config_that_is_no_json_object(copy_of, content, message):
    folder = copy_of("llama")
    (folder / "config.json").write_bytes(content)
    refusal(folder, message)


READ_BY_BLOCKS = """
import resource, sys
from trilobite.quant.checkpoint import open_checkpoint
with open_checkpoint(sys.argv[1]) as checkpoint:
    checkpoint.rows("lm_head.weight", 0, 1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for start in range(0, checkpoint.config.vocab_size, 1024):
        checkpoint.rows("lm_head.weight", start, start + 1024)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_reading_by_blocks_takes_the_memory_of_a_block(copy_of):
    folder = copy_of("llama-bf16")
    rows = 1 << 20   # 128 MiB in BF16, 256 KiB a block in float32

    def enlarge(tensors):
        for name in ("lm_head.weight", EMBEDDING):
            tensors[name] = torch.ones(1, 64, dtype=torch.bfloat16).repeat(rows, 1)

    edit_tensors(folder, enlarge)
    edit_config(folder, lambda config: config.update(vocab_size=rows))
    command = [sys.executable, "-c", READ_BY_BLOCKS, str(folder)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert int(output) < 20_000   # KiB, as Linux counts ru_maxrss


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_a_number_that_is_not_finite_is_no_json(copy_of, number):
    folder = copy_of("llama")
    text = (folder / "config.json").read_text().strip()
    assert text.endswith("}")
    (folder / "config.json").write_text(f'{text[:-1]}, "time_step_limit": {number}}}')
    refusal(folder, "config.json is not valid JSON: time_step_limit is "
                    f"{number}, which is not a finite number")
