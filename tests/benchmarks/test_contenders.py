"""Peers are made where they are installed, and multiply with the weight that they are given."""

import os

import bitnet_cpp
import ggml
import numpy as np
import onnx_matmul
import pytest
import timing
from contenders import PEERS, Peers, own
from machine import environment, without_avx512
from timing import best_of, settle
from weights import copies_of, weight_of

from trilobite.runtime.kernels.choice import VARIABLE, available_kernels
from trilobite.runtime.kernels.ternary.shuffle import ShuffleTernary
from trilobite.runtime.linear import make_linear


def numpy_only():
    return Peers(("numpy",), threads=1, working_set=0)


def test_only_libraries_that_are_wanted_are_peers():
    assert numpy_only().names("ternary16", 8, 256) == ["numpy float32"]
    everything = Peers(("numpy", "bitnet.cpp", "ik_llama.cpp"), 1, 0)   # without their folders
    assert everything.names("ternary16", 8, 256) == ["numpy float32"]


@pytest.mark.skipif(not ggml.llama_cpp_available(), reason="llama-cpp-python is not installed")
def test_llama_cpp_wants_blocks_of_256():
    peers = Peers(("llama.cpp",), 1, 0)
    assert peers.names("int4", 8, 256) == ["llama.cpp Q4_0", "llama.cpp Q4_K"]
    assert peers.names("int4", 8, 384) == []


@pytest.mark.parametrize("name", [
    "numpy float32",
    *dict.fromkeys(name for names in PEERS.values() for name in names if "." not in name
                   or name.startswith("llama")),
])
def test_a_peer_multiplies_with_the_weight(name):
    library = name.split()[0]
    if library == "llama.cpp" and not ggml.llama_cpp_available():
        pytest.skip("llama-cpp-python is not installed")
    if library == "onnxruntime" and not onnx_matmul.available():
        pytest.skip("onnxruntime is not installed")
    if library == "trilobite" and "lookup" not in available_kernels():
        pytest.skip("this CPU has no AVX2")
    kind = next((kind for kind, names in PEERS.items() if name in names), "int8")
    weight = weight_of(kind, 256, 16)
    contender = Peers((library,), 1, 2.5 * 256 * 16).make(name, kind, weight)
    assert contender.nbytes >= 256 * 16 // 5
    for N in (1, 3):
        x = np.random.default_rng(N).standard_normal((N, 256), np.float32)
        exact = x @ weight.T
        y = contender.output(x, 2)
        assert np.linalg.norm(y - exact) < 0.15 * np.linalg.norm(exact)
        assert contender.best(0) > 0
    contender.close()


@pytest.mark.skipif("lookup" not in available_kernels(), reason="this CPU has no AVX2")
@pytest.mark.parametrize("before", [None, "portable"])
def test_lookup_is_made_for_its_own_contender_only(before, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    if before:
        monkeypatch.setenv(VARIABLE, before)
    made = []
    monkeypatch.setattr(
        "contenders.make_linear", lambda *given: made.append(make_linear(*given)) or made[-1]
    )
    Peers(("trilobite",), 1, 0).make("trilobite lookup", "ternary2", weight_of("ternary2", 256, 16))
    assert [type(linear._fused) for linear in made] == [ShuffleTernary]
    assert os.environ.get(VARIABLE) == before


def test_a_pass_goes_round_copies_that_make_up_the_working_set(monkeypatch):
    passes = []
    monkeypatch.setattr("contenders.best_of", lambda calls, seconds: passes.append(calls) or 1.0)
    weight = weight_of("int8", 256, 16)
    one = own("int8", weight, 0)
    contender = own("int8", weight, 3.2 * one.nbytes)
    x = np.ones((1, 256), np.float32)
    y = contender.output(x, 100)
    contender.best(1.0)
    contender.output(x, 1)
    contender.best(1.0)
    assert [len(calls) for calls in passes] == [3, 1]
    contender.output(x, 2)
    assert all(np.array_equal(call(), y) for call in passes[0])
    assert copies_of(1000, 0) == 1 and copies_of(1000, 2600) == 3


def test_a_folder_without_a_library_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="exports ggml_vec_dot_i2_i8_s"):
        bitnet_cpp.BitnetCpp(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no libggml\.so below"):
        ggml.ik_library(tmp_path)


def test_best_of_is_the_mean_of_the_fastest_pass(monkeypatch):
    now = [0.0]
    costs = iter([1.0, 3.0, 1.0, 1.0, 9.0, 9.0])
    monkeypatch.setattr("timing.time.perf_counter", lambda: now[0])

    def call():
        now[0] += next(costs)

    assert best_of([call, call], 5.5) == 1.0   # passes of 2, 1 and no third: 6 s are over
    assert now[0] == 6.0
    assert best_of([call, call], 0) == 9.0     # one pass at least


def test_settle_waits_while_threads_work(monkeypatch):
    now, used = [0.0], iter([0, 0.012, 0.012, 0.02, 0.02, 0.021])

    def sleep(seconds):
        now[0] += seconds

    monkeypatch.setattr("timing.time.perf_counter", lambda: now[0])
    monkeypatch.setattr("timing.time.process_time", lambda: next(used))
    monkeypatch.setattr("timing.time.sleep", sleep)
    settle()
    assert now[0] == pytest.approx(0.036)   # busy, busy, idle


def test_settle_pauses_for_more_than_a_tick():
    # A thread's time is added up at ticks: between two of them one that spins looks idle.
    assert 1 / os.sysconf("SC_CLK_TCK") < timing._PAUSE


def test_without_avx512():
    features = "+avx2,+avx512f,-avx512bf16,+avxvnni,+fma,+gfni"
    assert without_avx512(features) == "+avx2,-avx512f,-avx512bf16,-avxvnni,+fma,-gfni"
    restricted = environment(2, "avx2")
    assert restricted["OPENBLAS_NUM_THREADS"] == "2"
    assert "+avx512" not in restricted["NUMBA_CPU_FEATURES"]
    assert "NUMBA_CPU_FEATURES" not in environment(1, "host")


def columns_of_a_row(packed, row, K, tile, block):
    """The codes of one row, byte by byte, as the kernel's vectors meet them."""
    threes, twos, signs = packed
    lane, lower, word = divmod(row % 32, 16)[0], row % 32, row % 16
    byte = (lower % 8) + 8 * (lower // 16) + 16 * (lower // 8 % 2)
    group, codes = row % tile // 32, []
    first = row // tile * tile
    for outer in range(K // block):
        indices = block // 3
        place = first * (K - K % block) // 6 + outer * tile * indices // 2
        place += group * 32 * indices // 2
        sign_place = first * (K - K % block) // 24 + outer * tile * indices // 8
        sign_place += group * 32 * indices // 8
        for index in range(indices):
            value = threes[place + index // 2 * 32 + byte]
            value = value & 15 if index % 2 else value >> 4
            of_eight = index % 8
            words = signs[sign_place + index // 8 * 32 + 2 * word:][:2]
            bit = 15 - 2 * of_eight - lane
            negative = (int(words[0]) | int(words[1]) << 8) >> bit & 1
            number = -int(value) if negative else int(value)
            first_code = (number + 4) // 9
            second = (number - 9 * first_code + 1) // 3
            codes += [first_code, second, number - 9 * first_code - 3 * second]
    for outer in range(K % block // 32):
        place = first * (K % block) // 4 + outer * tile * 8 + group * 32 * 8
        for index in range(16):
            value = twos[place + index // 2 * 32 + byte]
            value = int(value & 15 if index % 2 else value >> 4)
            codes += [value // 3 - 1, value % 3 - 1]
    return codes


@pytest.mark.parametrize(("M", "K", "tile", "block"), [
    (64, 96, 32, 96), (64, 160, 64, 96), (96, 32, 32, 96), (128, 448, 64, 192)
])
def test_tl2_bytes_hold_every_weight(M, K, tile, block):
    codes = np.random.default_rng(0).integers(-1, 2, (M, K)).astype(np.int8)
    packed = bitnet_cpp.pack_tl2(codes, tile, block)
    for row in range(M):
        assert columns_of_a_row(packed, row, K, tile, block) == codes[row].tolist()


def test_tl2_bytes_by_hand():
    codes = np.zeros((32, 96), np.int8)
    codes[0, :3] = [1, 0, -1]     # 9 - 1 = 8, in the upper half of byte 0
    codes[0, 3:6] = [-1, 1, 0]    # -9 + 3 = -6, in the lower half, bit 13 of word 0
    threes, twos, signs = bitnet_cpp.pack_tl2(codes, 32, 96)
    assert threes[0] == 0x86 and not threes[1:].any()
    assert twos.size == 0
    assert signs.view(np.uint16)[0] == 1 << 13 and not signs.view(np.uint16)[1:].any()
