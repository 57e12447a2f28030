"""Bytes of KV-Direct's two modes, for Gemma-3-4B."""

from trilobite.sim.studies.kv_direct import KvDirect

GEMMA_3_4B = KvDirect(layers=34, hidden=2560, kv_heads=4, head_dim=256)


def test_the_published_bytes_are_one_layers_residual():
    assert GEMMA_3_4B.kv_bytes == 139_264
    assert GEMMA_3_4B.checkpoint_bytes == 5_120
    assert round(GEMMA_3_4B.kv_bytes / GEMMA_3_4B.checkpoint_bytes) == 27


def test_all_layers_residuals_take_more_than_keys_and_values():
    assert GEMMA_3_4B.residual_bytes == 174_080 > GEMMA_3_4B.kv_bytes


def test_the_small_checkpoint_costs_a_forward_pass():
    assert GEMMA_3_4B.projection_flop == 2 * 34 * 2560 * 2048
    assert GEMMA_3_4B.replay_flop(3.2e9) == 6.4e9
    assert GEMMA_3_4B.replay_flop(3.2e9) > 15 * GEMMA_3_4B.projection_flop
