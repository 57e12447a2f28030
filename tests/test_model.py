import trilobite
from trilobite.model import ModelConfig


def test_package_has_a_version():
    assert trilobite.__version__


def test_tensor_shapes_count_bitnet_large_parameters():
    # 1bitLLM/bitnet_b1_58-large: 728,842,752 parameters, a published count.
    config = ModelConfig(
        family="bitnet", hidden_size=1536, intermediate_size=4096, num_layers=24, num_heads=16,
        num_kv_heads=16, head_dim=96, vocab_size=32002, max_position_embeddings=2048,
        rms_norm_eps=1e-5, rope_theta=10000.0, tie_word_embeddings=True, sub_norm=True,
    )
    total = 0
    for shape in config.tensor_shapes().values():
        size = 1
        for extent in shape:
            size *= extent
        total += size
    assert total == 728_842_752
