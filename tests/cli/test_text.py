"""Foreign text on a terminal and in a file: shown as it is, with nothing that acts."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from trilobite.cli.console import Output, make_table
from trilobite.cli.text import marked, visible

HOSTILE = ("[bold]x[/nope]", "[/]", "[link=http://x]", "\x1b[2J\x1b]0;x\x07", ":key:", "a\\", "\\[",
           "\r\b\x00", "\x9b31m", "\u202etxt", "\udcff", "{}", "{0}", "\n", "=1+1", "[red", "]")


def shown(*values, width=400, terminal=False):
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=terminal, highlight=False, emoji=False,
                      color_system="truecolor" if terminal else None)
    console.print(*values)
    return file.getvalue()


@pytest.mark.parametrize(("text", "expected"), [
    ("plain é 日本 😀", "plain é 日本 😀"),
    ("\x1b[31m", "\\x1b[31m"), ("a\tb\nc", "a\\tb\\nc"), ("\x9b", "\\x9b"),
    ("\u202e", "\\u202e"), ("\u2028", "\\u2028"), ("\udcff", "\\udcff"),
    ("C:\\x", "C:\\x"), ("\u200d", "\u200d"),
])
def test_control_characters_become_escapes_and_letters_stay(text, expected):
    assert visible(text) == expected


def test_lines_and_tabs_can_be_kept():
    assert visible("a\tb\nc\r", keep="\n\t") == "a\tb\nc\\r"


@given(st.text())
def test_nothing_that_acts_on_a_terminal_is_left(text):
    assert all(character.isprintable() or ord(character) > 0x9f for character in visible(text))


@given(st.lists(st.sampled_from(HOSTILE) | st.text(), min_size=3, max_size=3))
def test_values_are_text_wherever_they_stand_in_a_template(values):
    text = marked("[bold]{}[/] and {} [dim]({}[/])", *values)
    first, second, third = map(visible, values)
    assert text.plain == f"{first} and {second} ({third})"
    assert [(text.plain[span.start:span.end], span.style) for span in text.spans
            if span.start < span.end] == [
        part for part in ((first, "bold"), (f"({third}", "dim")) if part[0]]


def test_a_template_formats_like_str_format():
    assert marked("{:,.2f} of {:>5} [b]{!r}[/]", 1234.5, "x", "y").plain == "1,234.50 of     x 'y'"
    assert marked("no {} field: {{}}").plain == "no {} field: {{}}"   # without values: markup alone


@pytest.mark.parametrize("name", HOSTILE)
def test_a_table_shows_its_cells_headers_and_title_as_they_are(name):
    table = make_table("name", f">{name}x", title=name)
    table.add_row(name, name)
    page, wanted = shown(table), visible(name)
    lines = [line.split() for line in page.splitlines() if line.strip()]
    words = wanted.split() or [wanted]
    assert lines[0] == words                                # title
    assert lines[1] == ["name", *words[:-1], words[-1] + "x"]
    assert lines[-1] == [*words, *words]
    assert "\x1b" not in page


@pytest.mark.parametrize("name", HOSTILE)
def test_what_a_command_prints_shows_names_as_they_are(name, capsys):
    output = Output()
    output.print("[bold]{}[/]", name)
    output.line(name)
    output.warn(name)
    assert capsys.readouterr().out.splitlines() == [
        visible(name), visible(name), f"Warning: {visible(name)}"]


def test_text_goes_into_a_file_as_it_is_and_onto_a_terminal_without_control(capsys, monkeypatch):
    text = "a\tb\r\n\x0c:key: [bold] " + 100 * "x" + "\x1b[2J"
    output = Output()
    assert output.exact
    output.stream(text)
    assert capsys.readouterr().out == text
    monkeypatch.setenv("FORCE_COLOR", "1")   # rich takes it for a terminal
    output = Output()
    assert not output.exact
    output.stream(text)
    assert capsys.readouterr().out == "a\tb\\r\n\\x0c:key: [bold] " + 100 * "x" + "\\x1b[2J"


def test_people_read_standard_error_where_standard_output_is_json(capsys):
    output = Output("-")
    output.stream("text\x1b")
    output.print("{}", "said")
    assert capsys.readouterr().err == "text\\x1bsaid\n"
