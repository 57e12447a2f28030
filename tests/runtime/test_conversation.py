import pytest

import trilobite
from trilobite.errors import TrilobiteError

FULL = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}def "
# A template that leaves all but the last message out: what was fed is of little use.
FORGETS = "{{ messages[-1].content }}: def "


@pytest.fixture(scope="module")
def model():
    return trilobite.load("demo-llama", kv="int8")


@pytest.fixture(params=[FULL, FORGETS], ids=["all messages", "the last message"])
def template(request, tmp_path):
    file = tmp_path / "template.jinja"
    file.write_text(request.param)
    return file


def fresh(model, conversation, new_tokens):
    """What the model says to the conversation so far without having seen any of it."""
    text = conversation._template.render(conversation.messages[:-1])
    generation = model.generate(model.tokenizer.encode(text, begin=False), new_tokens)
    return "".join(generation), generation.tokens


def test_turns_are_answered_as_if_all_had_been_said_at_once(model, template):
    conversation = trilobite.chat(model, "import os", template)
    for text in ("first", "second one", "third"):
        answer = conversation.ask(text, 12)
        "".join(answer)
        assert (answer.text, answer.generation.tokens) == fresh(model, conversation, 12)
    assert [message["role"] for message in conversation.messages] == [
        "system", "user", "assistant", "user", "assistant", "user", "assistant"]


def test_what_was_fed_is_not_fed_again(model, tmp_path):
    (tmp_path / "t").write_text(FULL)
    conversation = trilobite.chat(model, template=tmp_path / "t")
    "".join(conversation.ask("a" * 200, 4))
    second = conversation.ask("b", 4)
    "".join(second)
    assert len(second.generation.prompt_tokens) < 40


def test_an_answer_that_is_cut_is_kept_as_far_as_it_went(model, template):
    conversation = trilobite.chat(model, template=template)
    answer = conversation.ask("first", 12)
    pieces = [next(answer), next(answer)]
    answer.close()
    assert conversation.messages[-1] == {"role": "assistant", "content": "".join(pieces)}
    after = conversation.ask("second", 8)
    "".join(after)
    assert (after.text, after.generation.tokens) == fresh(model, conversation, 8)


def test_a_stop_string_ends_an_answer(model, template):
    whole = "".join(trilobite.chat(model, template=template).ask("x", 20))
    stop = whole[5:8]
    answer = trilobite.chat(model, template=template, stop=[stop]).ask("x", 20)
    assert "".join(answer) == whole[:whole.index(stop)]
    assert answer.generation.ended


def test_a_conversation_that_is_full_says_so(model, tmp_path):
    (tmp_path / "t").write_text(FULL)
    conversation = trilobite.chat(model, template=tmp_path / "t", context=24)
    with pytest.raises(TrilobiteError, match="of 24 .--context"):
        conversation.ask("a" * 200, 4)
    assert "".join(conversation.ask("a", 400))   # as many tokens as there is room for
    conversation.clear()
    assert conversation.messages == []


@pytest.mark.parametrize("options, said", [
    ({}, "has no chat template"), ({"template": "chatml", "context": 1 << 20}, "from 1 to 1024"),
    ({"template": "chatml", "stop": [""]}, "empty"), ({"template": "no-such-file"}, "no-such-file"),
])
def test_what_cannot_be_a_conversation_is_refused(model, options, said):
    with pytest.raises(TrilobiteError, match=said):
        trilobite.chat(model, **options)
