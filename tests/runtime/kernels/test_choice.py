"""The choice of a kernel: by the CPU's features, by the variable, with errors that help."""

import os
import subprocess
import sys

import pytest

from trilobite.errors import TrilobiteError
from trilobite.runtime.kernels import choice
from trilobite.runtime.kernels.choice import KERNELS, VARIABLE, available_kernels, chosen_kernel


@pytest.fixture
def features(monkeypatch):
    def pretend(*names):
        monkeypatch.setattr(choice, "cpu_features", lambda: frozenset(names))
        monkeypatch.delenv(VARIABLE, raising=False)

    return pretend


def test_a_bare_cpu_runs_the_portable_kernel(features):
    features("sse2")
    assert available_kernels() == ["portable"] and chosen_kernel() == "portable"


@pytest.mark.parametrize("name", KERNELS)
def test_the_fastest_that_the_cpu_has_is_chosen(name, features):
    features(*KERNELS[name])
    assert chosen_kernel() == {"lookup": "avx2"}.get(name, name)   # lookup is only asked for


def test_the_variable_overrides(features, monkeypatch):
    features(*KERNELS["vnni"])
    monkeypatch.setenv(VARIABLE, "portable")
    assert chosen_kernel() == "portable"
    monkeypatch.setenv(VARIABLE, "")
    assert chosen_kernel() == "vnni"


def test_an_unknown_name_is_refused(features, monkeypatch):
    features()
    monkeypatch.setenv(VARIABLE, "fast")
    with pytest.raises(TrilobiteError, match="TRILOBITE_KERNEL is 'fast'; it may be 'vnni', "):
        chosen_kernel()


def test_a_kernel_that_the_cpu_lacks_is_refused(features, monkeypatch):
    features("avx512f", "avx512bw", "avx512vl")
    monkeypatch.setenv(VARIABLE, "vnni")
    with pytest.raises(TrilobiteError, match="needs avx512vnni; this CPU runs 'avx512', "):
        chosen_kernel()


@pytest.mark.parametrize(
    ("variable", "value"),
    [("NUMBA_CPU_NAME", "generic"), ("NUMBA_CPU_FEATURES", "+avx2,-avx512f,-avx512vnni"),
     ("NUMBA_ENABLE_AVX", "0")],
)
def test_numba_decides_what_the_cpu_is(variable, value):
    script = (
        "from trilobite.runtime.kernels.choice import available_kernels; "
        "print('vnni' in available_kernels())"
    )
    printed = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, variable: value},
        capture_output=True, text=True, check=True,
    )
    assert printed.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("like", "asked", "vectors"),
    [("avx2", "", 2), ("avx2", "lookup", 2), ("avx512", "lookup", 1), ("vnni", "", 1),
     ("vnni", "avx2", 2), ("avx2", "portable", 0)],
)
def test_lookup_is_as_wide_as_the_cpu_or_the_kernel(like, asked, vectors, features, monkeypatch):
    features(*KERNELS[like], "avx2")
    monkeypatch.setenv(VARIABLE, asked)
    assert choice.lookup_vectors() == vectors
