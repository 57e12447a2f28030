"""Many threads and processes on the same weights and models: never another bit, never a crash."""

import json

import pytest

from support.stress import start_stress
from trilobite.quant.pipeline import quantize
from trilobite.runtime.kernels.choice import available_kernels

THE_BEST = available_kernels()[0]


def reports(*processes):
    """What each process printed; they run at the same time."""
    found = []
    for process in processes:
        printed, said = process.communicate(timeout=1500)
        assert process.returncode == 0, said
        found.append(json.loads(printed))
    return found


@pytest.fixture(scope="module")
def ternary_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stress") / "ternary"
    quantize("demo-bitnet", folder, "ternary")
    return str(folder)


def test_base3_does_not_use_freed_memory():
    arguments = ("--formats", "ternary(base3)", "--rounds", "60")
    found, = reports(start_stress(THE_BEST, *arguments))
    assert (found["tries"], found["wrong"]) == (2400, 0)


def test_every_format_in_every_kernel_by_threads_of_several_processes():
    kernels = [THE_BEST, *available_kernels()]   # hence the best twice at the same time
    digests = set()
    for first in range(0, len(kernels), 2):
        pair = kernels[first:first + 2]
        found = reports(*(start_stress(kernel, "--threads", "2") for kernel in pair))
        for kernel, report in zip(pair, found, strict=True):
            assert report["tries"] > 300
            assert (kernel, report["which"]) == (kernel, [])
            digests.add(report["digest"])
    assert len(digests) == 1


def test_threads_generate_from_the_same_model(ternary_model):
    arguments = ("--model", ternary_model, "--kv", "int8", "--prompts", "6")
    found, = reports(start_stress(THE_BEST, *arguments))
    assert (found["tries"], found["which"]) == (48, [])


@pytest.mark.slow
@pytest.mark.parametrize("kernel", available_kernels())
def test_for_long(kernel, ternary_model):
    multiplied = reports(*(start_stress(kernel, "--rounds", "20") for _ in range(2)))
    generated = reports(
        *(start_stress(kernel, "--rounds", "6", "--model", ternary_model) for _ in range(2))
    )
    for found in (*multiplied, *generated):
        assert found["tries"] >= 1536
        assert found["which"] == []
    assert multiplied[0]["digest"] == multiplied[1]["digest"]
    assert generated[0]["digest"] == generated[1]["digest"]
