import json
import shutil
from pathlib import Path

import pytest

import trilobite
from trilobite.errors import CheckpointError, TrilobiteError
from trilobite.runtime.chat_template import CHATML, ChatTemplate
from trilobite.runtime.text import Tokenizer

DEMO = Path(trilobite.__file__).parent / "checkpoints" / "demo-llama"
MESSAGES = [
    {"role": "system", "content": "Be brief."}, {"role": "user", "content": " <é> & \"x\"\n"},
    {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "Why?"},
]
# In the manner of Llama 2, Llama 3, Gemma and Qwen: what templates in use are made of.
TEMPLATES = {
    "chatml": CHATML,
    "llama2": (
        "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
        "{% set system = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}"
        "{% set system = false %}{% endif %}{% for m in loop_messages %}"
        "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('Roles must alternate') }}{% endif %}"
        "{% if loop.index0 == 0 and system != false %}"
        "{% set content = '<<SYS>>' + system + '<</SYS>>' + m['content'] %}"
        "{% else %}{% set content = m['content'] %}{% endif %}"
        "{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
        "{% else %}{{ ' ' + content | trim + ' ' + eos_token }}{% endif %}{% endfor %}"
    ),
    "namespaces": (
        "{%- set ns = namespace(last=-1) -%}\n{%- for m in messages[::-1] %}\n"
        "    {%- set index = (messages | length - 1) - loop.index0 %}\n"
        "    {%- if ns.last == -1 and m.role == 'user' %}{% set ns.last = index %}{% endif %}\n"
        "{%- endfor %}\n{%- for m in messages %}{{ m.role }}{% if loop.index0 == ns.last %}*"
        "{% endif %}: {{ m.content | tojson }}\n{% endfor %}"
        "{%- if tools is defined and tools %}tools{% endif %}"
        "{%- if add_generation_prompt %}{{ bos_token }}{% endif %}"
    ),
    "loop controls": (
        "{% for m in messages %}{% if m.role == 'system' %}{% continue %}{% endif %}"
        "{{ m.content }}|{% if loop.index > 2 %}{% break %}{% endif %}{% endfor %}"
    ),
}


def folder_with(tmp_path, **settings):
    shutil.copy(DEMO / "tokenizer.json", tmp_path)
    stated = json.loads((DEMO / "tokenizer_config.json").read_text()) | settings
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(stated))
    shutil.copy(DEMO / "config.json", tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", TEMPLATES)
def test_messages_are_rendered_and_split_as_by_transformers(tmp_path, name):
    transformers = pytest.importorskip("transformers")
    folder = folder_with(tmp_path, chat_template=TEMPLATES[name])
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    text = theirs.apply_chat_template(MESSAGES, tokenize=False, add_generation_prompt=True)
    ours = Tokenizer(folder / "tokenizer.json", 0, (1,))
    assert ours.chat_template().render(MESSAGES) == text
    ids = theirs.apply_chat_template(MESSAGES, add_generation_prompt=True)
    assert ours.encode(text, begin=False) == ids["input_ids"]


def test_a_file_of_its_own_goes_before_the_settings(tmp_path):
    folder = folder_with(tmp_path, chat_template="settings")
    tokenizer = Tokenizer(folder / "tokenizer.json", 0)
    assert tokenizer.chat_template().render(MESSAGES) == "settings"
    (folder / "chat_template.jinja").write_text("file")
    assert Tokenizer(folder / "tokenizer.json", 0).chat_template().render(MESSAGES) == "file"


@pytest.mark.parametrize("stated, expected", [
    ([{"name": "tool_use", "template": "a"}, {"name": "default", "template": "b"}], "b"),
    ([{"name": "tool_use", "template": "a"}], "a"),
    (None, None), ([], None),
])
def test_of_named_templates_the_default_is_taken(tmp_path, stated, expected):
    folder = folder_with(tmp_path, chat_template=stated)
    template = Tokenizer(folder / "tokenizer.json", 0).chat_template()
    assert (template and template.render(MESSAGES)) == expected


@pytest.mark.parametrize("template, error, said", [
    ("{% for", CheckpointError, "not Jinja"),
    ("x" * (1 << 20) + "y", CheckpointError, "characters"),
    ("{{ raise_exception('roles must alternate') }}", TrilobiteError, "roles must alternate"),
    ("{{ messages.__class__.__mro__[1].__subclasses__() }}", TrilobiteError, "unsafe|undefined"),
    ("{{ messages.append(1) }}", TrilobiteError, "unsafe|not callable|not safely"),
    ("{% for i in range(999999999) %}x{% endfor %}", TrilobiteError, "[Rr]ange"),
    ("{% for i in range(99999) %}{% for j in range(99999) %}{{ '%099d' % j }}{% endfor %}"
     "{% endfor %}", TrilobiteError, "more than"),
    ("{{ 1 / 0 }}", TrilobiteError, "division"),
    ("{% include 'x' %}", TrilobiteError, "says"),
])
def test_a_strangers_template_can_do_no_harm(template, error, said):
    with pytest.raises(error, match=said):
        ChatTemplate(template, {}, "m").render(MESSAGES)


@pytest.mark.parametrize("stated", [3, {"default": "x"}, [{"name": "default", "template": 3}]])
def test_what_is_no_template_is_named(tmp_path, stated):
    folder = folder_with(tmp_path, chat_template=stated)
    with pytest.raises(CheckpointError, match='tokenizer_config.json: "chat_template" is'):
        Tokenizer(folder / "tokenizer.json", 0).chat_template()
