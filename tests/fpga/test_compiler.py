from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from trilobite.errors import TrilobiteError
from trilobite.fpga.compiler import compile_model
from trilobite.fpga.configuration import load_configuration
from trilobite.fpga.descriptors import Operation, Post
from trilobite.fpga.tiling import interleave, plan_tiling
from trilobite.quant.checkpoint import open_checkpoint
from trilobite.quant.pipeline import quantize

DEMO = load_configuration("demo")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "bitnet"
    quantize("demo-bitnet", path, format="ternary")
    return path


@pytest.fixture(scope="module")
def checkpoint(folder):
    with open_checkpoint(folder) as opened:
        yield opened


def test_regions_do_not_overlap_and_lists_lie_where_they_are_said_to(checkpoint):
    program = compile_model(checkpoint.config, checkpoint.weight, DEMO, 80)
    regions = sorted(program.memory.regions.values(), key=lambda region: region.start)
    for one, other in pairwise(regions):
        assert one.end <= other.start
    operations = [descriptor.operation for descriptor in program.descriptors]
    layer = [Operation.QUANTIZE, *[Operation.MATMUL] * 3, Operation.ATTEND, Operation.QUANTIZE,
             Operation.MATMUL, Operation.QUANTIZE, Operation.MATMUL, Operation.QUANTIZE,
             Operation.MATMUL]
    assert operations == [Operation.EMBED, *layer * checkpoint.config.num_layers,
                          Operation.QUANTIZE, Operation.HEAD, Operation.END]
    packed = b"".join(descriptor.pack() for descriptor in program.descriptors)
    stored = program.memory.contents["program"].tobytes()
    assert stored.startswith(packed)


def test_every_weight_is_in_the_image_once(checkpoint):
    """Unpack the tiles in their order and compare with the model's trits."""
    program = compile_model(checkpoint.config, checkpoint.weight, DEMO, 16)
    columns = DEMO.tlmm.columns
    tiles = iter(program.tiles)
    matmuls = [d for d in program.descriptors if d.operation == Operation.MATMUL]
    names = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
             "gate_up", "mlp.down_proj"]
    image = np.zeros((program.memory.words, DEMO.word_bytes), np.uint8)
    for first, words in program.memory.image():
        image[first:first + len(words)] = words
    for number, matmul in enumerate(matmuls):
        prefix = f"model.layers.{number // len(names)}."
        name = names[number % len(names)]
        rows = []
        for tile in range(matmul.tiles):
            entry = next(tiles)
            blocks = matmul.last_blocks if tile == matmul.tiles - 1 else matmul.blocks
            assert entry.beats == blocks * matmul.passes
            words = image[entry.word:entry.word + entry.words]
            K = 768 if name == "mlp.down_proj" else 256
            rows.append(DEMO.weights.unpack(words, blocks * columns, K))
        trits = np.concatenate(rows)
        if name == "gate_up":
            gate, up = (checkpoint.weight(f"{prefix}mlp.{part}_proj.weight").codes().values
                        for part in ("gate", "up"))
            expected = interleave(gate, up, columns)
        else:
            expected = checkpoint.weight(f"{prefix}{name}.weight").codes().values
        np.testing.assert_array_equal(trits, expected)
    assert next(tiles, None) is None


def test_tiles_are_whole_units_of_which_two_fit():
    for M, K, unit in ((256, 256, 64), (1536, 256, 16), (256, 768, 8), (128, 256, 64)):
        plan = plan_tiling(DEMO, "matrix", M, K, unit)
        blocks = [plan.of_tile(tile) for tile in range(plan.tiles)]
        assert sum(blocks) * DEMO.tlmm.columns == M
        assert all(count * DEMO.tlmm.columns % unit == 0 for count in blocks)
        assert 2 * plan.blocks * DEMO.tlmm.passes(K) <= DEMO.weight_beats


def test_blocks_of_gate_and_up_alternate():
    even, odd = np.arange(8).reshape(4, 2), np.arange(8, 16).reshape(4, 2)
    assert interleave(even, odd, 2)[:, 0].tolist() == [0, 2, 8, 10, 4, 6, 12, 14]


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"max_width": 512}, "intermediate_size is 768, and at most 512 fit"),
    ({"max_head_dim": 32}, "head_dim is 64, and at most 32 fit"),
    ({"max_vocabulary": 1000}, "vocab_size is 1024, and at most 1000 fit"),
    ({"max_context": 64}, "the context is 80, and at most 64 fit"),
])
def test_a_model_that_does_not_fit_is_refused(checkpoint, changes, sentence):
    with pytest.raises(TrilobiteError, match=sentence):
        compile_model(checkpoint.config, checkpoint.weight, replace(DEMO, **changes), 80)


def test_all_that_the_hardware_lacks_is_named(checkpoint):
    config = replace(checkpoint.config, qkv_bias=True, qk_norm=True)
    with pytest.raises(TrilobiteError, match="it has biases; it norms queries and keys"):
        compile_model(config, checkpoint.weight, DEMO, 80)


def test_a_model_that_is_not_ternary_is_refused(tmp_path):
    quantize("demo-bitnet", tmp_path / "int8", format="int8")
    with open_checkpoint(tmp_path / "int8") as opened, pytest.raises(
            TrilobiteError, match=r"layers\.0\.self_attn\.q_proj\.weight is not ternary"):
        compile_model(opened.config, opened.weight, DEMO, 80)


def test_float_embeddings_are_refused():
    with open_checkpoint("demo-bitnet") as opened, pytest.raises(
            TrilobiteError, match="embed_tokens.weight is neither int8 nor symmetric int4"):
        compile_model(opened.config, opened.weight, DEMO, 80)


def test_a_gate_says_which(checkpoint):
    program = compile_model(checkpoint.config, checkpoint.weight, DEMO, 16, layers=1)
    gate = next(d for d in program.descriptors if d.post == Post.GATE)
    assert gate.silu == 0
    silu = compile_model(replace(checkpoint.config, activation="silu"), checkpoint.weight, DEMO, 16,
                         layers=1)
    assert next(d for d in silu.descriptors if d.post == Post.GATE).silu == 1
