"""``lm_eval`` on the runtime: its own harness with small tasks, and likelihoods by hand."""

import numpy as np
import pytest

import trilobite
from trilobite.errors import TrilobiteError

lm_eval = pytest.importorskip("lm_eval")

CHOICES = [{"text": "def f(self", "choices": [", other):", " banana"], "label": 0},
           {"text": "import ", "choices": ["zzzqqq", "os"], "label": 1}]
TEXTS = [{"text": "import os\nimport sys\n"}, {"text": "class A:\n    pass\n" * 8}]


@pytest.fixture(scope="module")
def model():
    from trilobite.api.lm_eval import TrilobiteLM

    return TrilobiteLM(trilobite.load("demo-llama"))


def task(name, docs, **options):
    from datasets import Dataset
    from lm_eval.api.task import ConfigurableTask

    return ConfigurableTask(config={
        "task": name, "custom_dataset": lambda **_: {"test": Dataset.from_list(docs)},
        "test_split": "test",
        "doc_to_text": "{{text}}", "doc_to_target": "", "target_delimiter": "", **options})


def log_probabilities(loaded, ids):
    """Log-probability of each token after the first, in float64."""
    logits = loaded.logits(ids[:-1]).astype(float)
    logits -= np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True)) + (
        logits.max(1, keepdims=True))
    return logits[np.arange(len(ids) - 1), ids[1:]]


def test_a_task_of_choices_runs_in_the_harness(model):
    choices = task("choices", CHOICES, output_type="multiple_choice", doc_to_choice="{{choices}}",
                   doc_to_target="label", metric_list=[{"metric": "acc"}])
    found = lm_eval.simple_evaluate(model, tasks=[choices], bootstrap_iters=0)
    samples = found["samples"]["choices"]
    assert len(samples) == 2
    loaded = model.model
    for sample in samples:
        doc = sample["doc"]
        for answer, (likelihood, _) in zip(
            doc["choices"], sample["filtered_resps"], strict=True
        ):
            spaces = len(doc["text"]) - len(doc["text"].rstrip())
            before = loaded.tokenizer.encode(doc["text"][:len(doc["text"]) - spaces])
            whole = loaded.tokenizer.encode(doc["text"] + answer)
            assert whole[:len(before)] == before
            expected = log_probabilities(loaded, whole)[len(before) - 1:].sum()
            assert float(likelihood) == pytest.approx(expected, abs=1e-3)   # BLAS
    assert found["results"]["choices"]["acc,none"] == 1.0


def test_a_perplexity_is_that_of_the_model(model):
    rolling = task("rolling", TEXTS, output_type="loglikelihood_rolling", doc_to_text="",
                   doc_to_target="{{text}}", metric_list=[{"metric": "bits_per_byte"}])
    found = lm_eval.simple_evaluate(model, tasks=[rolling], bootstrap_iters=0)
    loaded = model.model
    nats = sum(
        log_probabilities(loaded, loaded.tokenizer.encode(doc["text"])).sum() for doc in TEXTS)
    size = sum(len(doc["text"].encode()) for doc in TEXTS)
    bits = found["results"]["rolling"]["bits_per_byte,none"]
    assert bits == pytest.approx(-nats / size / np.log(2), rel=1e-4)


def test_generation_stops_where_the_task_says(model):
    generated = task("generated", CHOICES, output_type="generate_until",
                     generation_kwargs={"until": ["\n"], "max_gen_toks": 12},
                     metric_list=[{"metric": "exact_match"}])
    found = lm_eval.simple_evaluate(model, tasks=[generated], bootstrap_iters=0)
    for sample in found["samples"]["generated"]:
        answer = sample["resps"][0][0]
        whole = "".join(model.model.generate(sample["doc"]["text"], 12))
        assert answer == whole.split("\n")[0]


def test_windows_of_a_long_text_do_not_overlap(model):
    from lm_eval.api.instance import Instance

    from trilobite.api.lm_eval import TrilobiteLM

    short = TrilobiteLM(model.model, max_length=16)
    text = TEXTS[1]["text"]
    ids = model.model.tokenizer.encode(text)
    total, = short.loglikelihood_rolling([Instance("loglikelihood_rolling", {}, (text,), 0)])
    expected = 0.0
    for begin in range(1, len(ids), 16):
        part = ids[max(0, begin - 1):begin + 16]
        expected += log_probabilities(model.model, part).sum()
    assert total == pytest.approx(expected, rel=0.05) and total < 0


def test_what_cannot_be_done_is_said(model):
    with pytest.raises(TrilobiteError, match="max_gen_toks is 4096; the model has 1024 positions"):
        model._generated("a", {"max_gen_toks": 4096})
    with pytest.raises(TrilobiteError, match="has no chat template"):
        model.apply_chat_template([{"role": "user", "content": "a"}])


def test_the_class_has_a_name_for_the_command(model):
    from lm_eval.api.registry import get_model

    assert get_model("trilobite") is type(model)
