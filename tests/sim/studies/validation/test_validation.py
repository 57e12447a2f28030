"""Every published figure within its band, fitted and held out apart; the page as it is printed."""

import itertools
from pathlib import Path

import pytest

import trilobite
from trilobite.sim.descriptions.soc import load_soc
from trilobite.sim.studies.tensor_parallel import communication_time, link_term
from trilobite.sim.studies.validation import (
    Basis,
    all_rows,
    llm_npu,
    offload,
    page,
    published_costs,
)

ROWS = all_rows()
PHONE = load_soc("snapdragon-8-gen-3")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.source}: {row.what}")
def test_a_published_figure(row):
    assert abs(row.error) <= row.band + 1e-12


def mean_error(source, basis):
    errors = [abs(row.error) for row in ROWS if (row.source, row.basis) == (source, basis)]
    return sum(errors) / len(errors)


@pytest.mark.parametrize(
    ("source", "basis", "band"),
    [
        ("llm.npu table 3", Basis.FITTED, 0.06), ("llm.npu table 3", Basis.HELD_OUT, 0.14),
        ("llm.npu table 5", Basis.FITTED, 0.02), ("llm.npu table 5", Basis.HELD_OUT, 0.07),
        ("llm.npu ablation", Basis.HELD_OUT, 0.85),
        ("PowerInfer-2, decode by memory", Basis.HELD_OUT, 0.30),
        ("TPI-LLM", Basis.HELD_OUT, 0.30),
        ("Step-3 technical report", Basis.FORMULA, 0.01),
    ],
)
def test_mean_errors(source, basis, band):
    assert mean_error(source, basis) <= band


@pytest.mark.parametrize(
    ("processor", "precision"),
    [("NPU", "int8"), ("CPU", "int8"), ("GPU", "float16"), ("NPU", "float16")],
)
def test_the_description_holds_the_fitted_rates(processor, precision):
    fit = llm_npu.fit_table_3(processor, precision)
    rate = PHONE.processor(processor).rate("matmul", precision)
    assert rate.start.nominal * 1e-6 == pytest.approx(fit.start, rel=2e-3)
    for tokens, operations in fit.rates.items():
        described = rate.peak.nominal * 1e12 * rate.efficiency(tokens)
        assert described == pytest.approx(operations, rel=2e-3)


def test_a_fit_finds_launch_and_rates_of_made_up_times(monkeypatch):
    truth = llm_npu.RateFit(2e-3, {32: 1e12, 64: 3e12})
    made_up = [1e3 * truth.seconds(tokens, K, M) for tokens, K, M in llm_npu._SHAPES]
    monkeypatch.setitem(llm_npu._MILLISECONDS, ("NPU", "int8"), made_up)
    fit = llm_npu.fit_table_3("NPU", "int8")
    assert fit.start == pytest.approx(truth.start)
    assert fit.rates == pytest.approx(truth.rates)


@pytest.fixture(scope="module")
def errors():
    return llm_npu.chunk_errors(PHONE, llm_npu.MODELS)


def test_the_description_holds_the_fitted_rate_of_chunks(errors):
    fitted = llm_npu.fit_chunk_rate({model: errors[model] for model in llm_npu.FITTED_MODELS})
    described = PHONE.processor("NPU").rate("matmul", "int8").efficiency(256)
    assert described == pytest.approx(fitted, rel=1e-3)


def test_any_two_models_predict_the_other_three(errors):
    means, worst = [], []
    for pair in itertools.combinations(llm_npu.MODELS, 2):
        fitted = llm_npu.fit_chunk_rate({model: errors[model] for model in pair})
        best = list(llm_npu.CHUNK_EFFICIENCIES).index(fitted)
        others = [abs(errors[model][best]) for model in llm_npu.MODELS if model not in pair]
        means.append(sum(others) / len(others))
        worst.append(max(others))
    assert 0.03 < min(means) < max(means) < 0.09
    assert 0.10 < max(worst) < 0.13


def test_a_roofline_on_the_advertised_peak_would_be_far_off():
    for row in ROWS:
        if row.source == "llm.npu table 3" and row.what.startswith("NPU int8"):
            tokens, K, M = (int(extent) for extent in row.what.split(", ")[1].split(" x "))
            at_peak = 2 * tokens * K * M / 73e12 * 1e3
            assert 30 < row.reference / at_peak < 130


@pytest.mark.parametrize(
    ("work", "embeddings", "active"),
    [
        (published_costs._DSV3, 2 * 129_280 * 7168, 37e9),
        (published_costs._STEP3, 2 * 128_815 * 7168, 38e9),
        (published_costs._QWEN3, 2 * 151_936 * 4096, 22e9),
    ],
    ids=["DeepSeek-V3", "Step-3", "Qwen3-235B-A22B"],
)
def test_the_shapes_behind_the_costs_have_the_published_active_parameters(
    work, embeddings, active
):
    counted = (work.projections + work.ffn) / 2 + embeddings
    assert counted == pytest.approx(active, rel=0.03)


def ours(source, what):
    return next(row.ours for row in ROWS if (row.source, row.what) == (source, what))


def test_the_ablation_ranks_as_the_paper_does():
    cpu, ordered, free = (ours("llm.npu ablation", what) for what in (
        "CPU", "NPU, one subgraph after the other", "NPU, out of order"))
    assert cpu < ordered < free


def test_mixtral_has_its_published_parameters_and_reads_a_part_of_two_experts():
    weights = 2 * (8 * offload.expert_bytes() + offload.pinned_bytes())
    assert weights == pytest.approx(46.7e9 - 32_000 * 4096, rel=2e-3)
    assert 0 < offload.read_bytes(PHONE) < 2 * offload.expert_bytes()


def test_less_memory_decodes_slower_and_without_skew_slower_than_measured():
    full, half, small = (row for row in ROWS if row.source == "PowerInfer-2, decode by memory")
    assert full.ours > half.ours > small.ours
    assert small.ours < small.reference


def test_tpi_llms_link_latencies_alone_take_less_than_its_measured_tokens():
    """Table 1: 8 nodes, 1 ms a link, the 7B model wholly in memory: 1.2 s per token."""
    star = communication_time(32, 0.0, link_term("star", 8) * 1e-3, 0.0, 0.0)
    ring = communication_time(32, 0.0, link_term("ring", 8) * 1e-3, 0.0, 0.0)
    assert star == pytest.approx(0.512)
    assert star < 1.2 < ring   # so a ring is what the paper cannot have measured


def test_the_page_is_what_the_tool_prints():
    root = Path(trilobite.__file__).parent
    written = (root / "docs" / "explanation" / "validation.md").read_text("utf-8")
    assert written == page()
