"""Tutorials and how-to guides: each block of code does what the page says."""

import re

import pytest

from support.guides import ROOT, Reader, assert_shown, read_blocks

DOCS = ROOT / "docs"
PAGES = sorted(page for folder in ("tutorials", "how-to") for page in (DOCS / folder).glob("*.md"))
TEXTS = {str(page.relative_to(DOCS)): page.read_text() for page in PAGES}
LONG = [name for name, text in TEXTS.items() if any(block.slow for block in read_blocks(text))]


def follow(name, folder, slow):
    reader = Reader(folder, slow)
    for block in read_blocks(TEXTS[name]):
        try:
            reader.read(block)
        except BaseException as error:
            error.add_note(f"docs/{name}, line {block.line}")
            raise


@pytest.mark.parametrize("name", TEXTS)
def test_a_page_does_what_it_says(name, tmp_path):
    follow(name, tmp_path, slow=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
def test_a_page_does_what_it_says_in_full(name, tmp_path):
    follow(name, tmp_path, slow=True)


@pytest.mark.parametrize("name", TEXTS)
def test_all_code_is_fenced_and_named(name):
    fences = re.findall(r"^```+(.*)$", TEXTS[name], re.MULTILINE)
    assert {*fences[::2]} <= {"bash", "python", "text"}
    assert {*fences[1::2]} <= {""}
    assert not re.search(r"\n\n(?: {4}|\t)\S", TEXTS[name]), "an indented block is not run"


PAGE = """\
```bash
echo one > file; echo 12.5 ms
```
```text
... ms
```
<!-- slow, else: x = 1 -->
```python
x = 2
print(x)
```
```text
2
```
```python
assert open("file").read() == "one\\n"
y = x
```
<!-- needs no-such-program -->
```bash
no-such-program
```
<!-- exits 3 -->
```bash
exit 3
```
"""


@pytest.mark.parametrize("slow", [False, True])
def test_blocks_share_a_folder_and_names(tmp_path, slow):
    reader = Reader(tmp_path, slow)
    for block in read_blocks(PAGE):
        reader.read(block)
    assert reader.names["y"] == 1 + slow


@pytest.mark.parametrize("page", [
    "```bash\nfalse\n```\n", "```bash\ntrue | false | true\n```\n", "```ruby\n1\n```\n",
    "```python\nassert False\n```\n", "```bash\necho one\n```\n```text\ntwo\n```\n",
    "<!-- slow -->\n```bash\nfalse\n```\n", "<!-- exits 2 -->\n```bash\ntrue\n```\n",
])
def test_what_fails_is_noticed(tmp_path, page):
    reader = Reader(tmp_path, slow=True)
    *before, last = read_blocks(page)
    for block in before:
        reader.read(block)
    with pytest.raises(AssertionError):
        reader.read(last)


def test_a_marker_that_is_none_is_refused():
    with pytest.raises(ValueError, match="line 2"):
        read_blocks("<!-- slowly -->\n```bash\n```\n".replace("slowly", "slow otherwise: x"))


def test_output_is_compared_line_by_line_and_in_order():
    assert_shown("a ... c\n...\nd", " a b c\nx\n d\n")
    for shown in ("d\na b c", "a b", "e"):
        with pytest.raises(AssertionError):
            assert_shown(shown, "a b c\nd\n")
