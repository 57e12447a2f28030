import json
import subprocess
import sys

import pytest

import trilobite
from support.command import refuses, run


@pytest.fixture
def template(tmp_path):
    file = tmp_path / "template.jinja"
    file.write_text("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}def ")
    return file


def answers(template, *turns, **options):
    conversation = trilobite.chat("demo-llama", template=template, **options)
    return ["".join(conversation.ask(turn, 9)) for turn in turns]


def test_of_a_pipes_turns_standard_output_has_the_answers_alone(template):
    command = [sys.executable, "-m", "trilobite", "chat", "demo-llama", "-n", "9", "--template",
               str(template)]
    said = "first\n\nsecond é\n/clear\nfirst\n/exit\nnever said\n"
    done = subprocess.run(command, input=said.encode(), capture_output=True, check=True)
    first, second = answers(template, "first", "second é")
    assert done.stdout.decode() == f"{first}\n{second}\n{first}\n"
    assert done.stderr.decode().count("tokens/s") == 3


def test_json_has_the_conversation(template, tmp_path):
    result = run("chat", "demo-llama", "-n", "9", "--template", template, "--system", "be brief",
                 "--json", tmp_path / "j", typed="first\n")
    assert result.exit_code == 0
    value = json.loads((tmp_path / "j").read_text())
    (expected,) = answers(template, "first", system="be brief")
    assert [message["content"] for message in value["messages"]] == [
        "be brief", "first", expected]
    assert value["answers"][0]["tokens"] == 9 and value["answers"][0]["ended"] is False


def test_a_model_without_a_template_is_refused_before_a_turn():
    assert refuses(run("chat", "demo-llama"), "has no chat template")


def test_a_turn_that_is_not_utf8_is_refused(template):
    result = run("chat", "demo-llama", "--template", template, typed=b"\xff\n")
    assert refuses(result, "not UTF-8")


def test_generate_answers_a_question_by_the_template(template):
    result = run("generate", "demo-llama", "-p", "first", "-n", "9", "--chat", "--template",
                 template)
    assert result.stdout == answers(template, "first")[0]
