from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from trilobite.errors import TrilobiteError
from trilobite.fpga.compiler import compile_model
from trilobite.fpga.descriptors import Operation, Post
from trilobite.fpga.matrices import Grouping, MatrixLayout, digits_of, take_matrix
from trilobite.fpga.planner import plan_program
from trilobite.fpga.tiling import interleave, plan_tiling
from trilobite.quant.checkpoint import open_checkpoint
from trilobite.quant.formats import Int3, Int4
from trilobite.quant.formats.rotation import Rotation
from trilobite.quant.pipeline import quantize
from trilobite.sim.descriptions.accelerator import load_accelerator

DEMO = load_accelerator("demo").whole()
PLAIN = replace(DEMO, biases=False, head_norms=False, scale_lanes=0, scale_beats=0)


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


def test_a_gate_of_another_function_is_refused(checkpoint):
    with pytest.raises(TrilobiteError, match="its activation function is relu2, and the gate "
                                             "computes silu$"):
        compile_model(checkpoint.config, checkpoint.weight,
                      replace(DEMO, activations=("silu",)), 16)


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
        plan = plan_tiling(MatrixLayout(PLAIN, K, Grouping()), "matrix", M, unit)
        blocks = [plan.of_tile(tile) for tile in range(plan.tiles)]
        assert sum(blocks) * DEMO.tlmm.columns == M
        assert all(count * DEMO.tlmm.columns % unit == 0 for count in blocks)
        assert 2 * plan.blocks * PLAIN.tlmm.passes(K) <= PLAIN.weight_beats


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
    with pytest.raises(TrilobiteError, match="it has biases; it has norms of queries and keys;"):
        compile_model(config, checkpoint.weight, PLAIN, 80)
    with pytest.raises(TrilobiteError, match="it norms queries and keys that have biases$"):
        compile_model(config, checkpoint.weight, DEMO, 80)


def test_a_model_that_is_not_ternary_is_refused(tmp_path):
    quantize("demo-bitnet", tmp_path / "int8", format="int8")
    with open_checkpoint(tmp_path / "int8") as opened:
        for parameters, said in ((PLAIN, "is not ternary"), (DEMO, "has the format int8, and")):
            with pytest.raises(TrilobiteError,
                               match=rf"layers\.0\.self_attn\.q_proj\.weight {said}"):
                compile_model(opened.config, opened.weight, parameters, 80)


def test_key_biases_are_refused(checkpoint):
    config = replace(checkpoint.config, qkv_bias=True)

    def weight(name):
        ones = np.ones(config.tensor_shapes()[name], np.float32)
        return ones if name.endswith("bias") else checkpoint.weight(name)

    with pytest.raises(TrilobiteError, match=r"layers\.0\.self_attn\.k_proj\.bias is not 0"):
        compile_model(config, weight, DEMO, 80)
    with pytest.raises(TrilobiteError, match="it has biases of keys"):
        plan_program(config, DEMO, 80)


def test_weights_that_meet_the_same_activations_must_have_equal_groups(checkpoint):
    forms = {"q": Int4(group_size=32), "k": Int3(group_size=64), "gate": Int4(), "up": Int3()}
    config = checkpoint.config

    def weight(name):
        form = forms.get(name.rsplit(".", 2)[-2].removesuffix("_proj"), Int4(group_size=32))
        if name in config.linear_weights():
            return form.quantize(np.ones(config.tensor_shapes()[name], np.float32))
        return checkpoint.weight(name)

    with pytest.raises(TrilobiteError, match=r"k_proj\.weight has groups of 64, weights of 3 "
                                             r"ternary digits, and .*q_proj\.weight groups of 32"):
        compile_model(config, weight, DEMO, 20)
    forms["k"] = forms["q"]
    forms["up"] = Int4(symmetric=False)
    with pytest.raises(TrilobiteError, match="their blocks alternate, and must be of one kind"):
        compile_model(config, weight, DEMO, 20)


def test_digits_make_their_weights():
    for digits in range(1, 7):
        values = np.arange(-(3 ** digits // 2), 3 ** digits // 2 + 1).clip(-128, 127)
        found = digits_of(values.astype(np.int8), digits)
        assert set(np.unique(found)) == {-1, 0, 1}
        assert (found.T.astype(int) @ 3 ** np.arange(digits)[::-1] == values).all()


def test_weights_for_rotated_inputs_are_refused():
    weight = Int4(32).quantize(np.ones((4, 64), np.float32))
    rotated = replace(weight, rotation=Rotation(32, np.ones(64, np.float32)))
    assert take_matrix("w", weight, DEMO).values.shape == (4, 64)
    with pytest.raises(TrilobiteError, match="w is stored for rotated inputs"):
        take_matrix("w", rotated, DEMO)


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


@pytest.mark.parametrize(("sub_norm", "normed"), [(True, "sub_norm"), (False, "quantize")])
def test_every_descriptor_has_its_operator_and_its_layer(checkpoint, sub_norm, normed):
    program = plan_program(replace(checkpoint.config, sub_norm=sub_norm), DEMO, 16, layers=2)
    layer = ["input_norm", "q_proj", "k_proj", "v_proj", "attention", f"attn_{normed}", "o_proj",
             "post_norm", "gate_up_proj", f"ffn_{normed}", "down_proj"]
    assert [(origin.operator, origin.layer) for origin in program.origins] == [
        ("embedding", None), *((name, number) for number in (0, 1) for name in layer),
        ("final_norm", None), ("lm_head", None), ("end", None)]
    posts = {"q_proj": Post.ROTATE, "k_proj": Post.KEYS, "v_proj": Post.VALUES,
             "gate_up_proj": Post.GATE, "o_proj": Post.ADD, "down_proj": Post.ADD}
    operations = {"embedding": Operation.EMBED, "attention": Operation.ATTEND,
                  "lm_head": Operation.HEAD, "end": Operation.END}
    for descriptor, origin in zip(program.descriptors, program.origins, strict=True):
        name = origin.operator
        if name in posts:
            assert (descriptor.operation, descriptor.post) == (Operation.MATMUL, posts[name])
        else:
            assert descriptor.operation == operations.get(name, Operation.QUANTIZE)


def test_the_first_layers_have_a_list_of_their_own(checkpoint):
    program = compile_model(checkpoint.config, checkpoint.weight, DEMO, 16, layers=2)
    word, tiles = program.first_layers(1)
    alone = compile_model(checkpoint.config, checkpoint.weight, DEMO, 16, layers=1)
    assert tiles == len(alone.tiles)
    stored = program.memory.contents["program.1"].tobytes()
    assert program.word("program.1") == word
    kinds = [(d.operation, d.post) for d in alone.descriptors]
    packed = [stored[at:at + 64] for at in range(0, 64 * len(kinds), 64)]
    assert [(first[0] & 15, first[0] >> 4) for first in packed] == kinds
    norm = int.from_bytes(packed[-3], "little")
    assert norm >> 16 & 0xFFFF_FFFF == program.word("residual.1")
    # All but where the last norm reads is the whole program's.
    whole = program.memory.contents["program"].tobytes()
    assert packed[:-3] == [whole[at:at + 64] for at in range(0, 64 * (len(kinds) - 3), 64)]
    assert b"".join(packed[-2:]) == whole[64 * (len(program.descriptors) - 2):][:128]


def test_an_embedding_of_four_bits_is_taken_and_one_of_groups_refused(tmp_path):
    for size, name in (("row", "rows"), (64, "groups")):
        quantize("demo-bitnet", tmp_path / name, format="ternary",
                 tensor_formats=[f"embed_tokens=int4,group_size={size}"])
    with open_checkpoint(tmp_path / "rows") as opened:
        program = compile_model(opened.config, opened.weight, DEMO, 16, layers=1)
    eight_words = 1 + 4 * 16   # of a group of four rows of 256 int8 codes, in words of 16 bytes
    for number in (0, -2):
        descriptor = program.descriptors[number]
        assert (descriptor.four_bits, descriptor.tile_words, descriptor.region) == (1, 8, 33)
    assert program.memory.regions["vocabulary"].words == 256 * 33 < 256 * eight_words
    with open_checkpoint(tmp_path / "groups") as opened, pytest.raises(
            TrilobiteError, match=r"embed_tokens\.weight is neither int8 nor symmetric int4 with "
                                  "one scale per row"):
        compile_model(opened.config, opened.weight, DEMO, 16)


def test_rows_of_a_word_are_refused(checkpoint):
    wide = replace(DEMO, word_bytes=64)
    narrow = replace(checkpoint.config, hidden_size=64)
    with pytest.raises(TrilobiteError, match="64 codes of 8 bits is not more than a word of 64"):
        compile_model(narrow, checkpoint.weight, wide, 16)
