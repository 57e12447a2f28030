"""A format as one string: written, read, and refused."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.format_table import FORMAT_TABLE
from trilobite.errors import FormatError
from trilobite.quant.formats import FORMATS, Format, Fp8, Int3, Int4, Int8, Ternary, parse_format
from trilobite.quant.formats.grammar import state_format, usage
from trilobite.quant.formats.parameters import parameters_of


def every_choice():
    """Each format with each choice of its parameters."""
    for name in FORMATS.own:
        form = FORMATS[name]
        parameters = parameters_of(form)
        for values in itertools.product(*(parameter.choices for parameter in parameters)):
            names = (parameter.name for parameter in parameters)
            yield form(**dict(zip(names, values, strict=True)))


EVERY = list(every_choice())


@pytest.mark.parametrize("form", EVERY, ids=str)
def test_every_format_is_written_and_read_back(form):
    assert parse_format(str(form)) == form
    assert str(parse_format(str(form))) == str(form)


def test_the_choices_hold_every_format_of_the_table():
    assert {case.format for case in FORMAT_TABLE} <= set(EVERY)
    assert len({str(form) for form in EVERY}) == len(EVERY)


@given(data=st.data())
def test_options_may_stand_in_any_order_and_be_as_by_default(data):
    form = data.draw(st.sampled_from(EVERY))
    words = [parameter.shown(getattr(form, parameter.name))
             for parameter in parameters_of(type(form))]
    given = data.draw(st.permutations(words))
    assert parse_format(",".join([form.name, *given])) == form


@pytest.mark.parametrize(("text", "form"), [
    ("int4", Int4()),
    ("int4,group_size=64,asymmetric", Int4(64, symmetric=False)),
    ("int4,no-symmetric", Int4(symmetric=False)),
    ("int4,symmetric=false", Int4(symmetric=False)),
    ("int3,symmetric", Int3(symmetric=True)),
    ("int4,group_size=row", Int4(None)),
    ("fp8,granularity=row", Fp8("row")),
    ("ternary,packing=2bit", Ternary("2bit")),
])
def test_strings_worked_out_by_hand(text, form):
    assert parse_format(text) == form


def test_a_format_is_written_without_what_is_as_by_default():
    assert str(Int4()) == "int4"
    assert str(Int4(None, symmetric=False)) == "int4,group_size=row,asymmetric"
    assert str(Int3(symmetric=True)) == "int3,symmetric"
    assert str(Fp8("tensor")) == "fp8,granularity=tensor"
    assert f"{Int8()}" == "int8"


@pytest.mark.parametrize(("text", "message"), [
    ("int5", "Number format 'int5' is unknown; known are ternary, "),
    ("", "Number format '' is unknown"),
    ("INT4", "Number format 'INT4' is unknown"),
    ("int4,", "int4 has no option ''; its options are group_size=32|64|128|row symmetric|asym"),
    ("int4,group_size", "int4 has no option 'group_size'"),
    ("int4,group-size=32", "int4 has no option 'group-size=32'"),
    ("int4,group_size=9", "int4: group_size must be 32, 64, 128 or row, not '9'"),
    ("int4,group_size=", "group_size must be 32, 64, 128 or row, not ''"),
    ("int4,symmetric=1", "int4: symmetric must be true or false, not '1'"),
    ("int4,symmetric,asymmetric", "symmetric is given twice"),
    ("int8,bits=3", "int8 has no option 'bits=3'; it has none"),
    ("fp8,granularity=group", "fp8: granularity must be row or tensor, not 'group'"),
])
def test_what_is_no_format_is_refused(text, message):
    with pytest.raises(FormatError) as caught:
        parse_format(text)
    assert message in str(caught.value)


@given(name=st.sampled_from(["", "int4,", "int4,group_size=", "fp8,granularity="]), rest=st.text())
def test_any_other_text_is_one_error(name, rest):
    try:
        form = parse_format(name + rest)
    except FormatError:
        return
    assert parse_format(str(form)) == form


def test_what_was_given_is_told_from_what_was_not():
    assert state_format("int4,asymmetric").given == {"symmetric"}
    assert state_format(Int4()).given == {"group_size", "symmetric"}
    assert state_format("int8").given == frozenset()


def test_the_usage_names_every_option():
    assert usage("int4-fp8") == "group_size=32|64|128 tensor_scale=largest|fireq"
    assert usage("int8") == ""


def test_parameters_of_other_types_are_read_as_their_default():
    """As a format of another package may have them."""
    import dataclasses

    @dataclasses.dataclass(frozen=True)
    class Parameters:
        levels: int = 3
        margin: float = 0.5
        rotated: bool = False

    levels, margin, rotated = parameters_of(Parameters)
    assert (levels.read("7"), margin.read("0.25"), rotated.read("true")) == (7, 0.25, True)
    assert (levels.shown(7), rotated.shown(True)) == ("levels=7", "rotated")
    assert (levels.usage, rotated.usage) == ("levels=int", "rotated|no-rotated")
    with pytest.raises(FormatError, match="levels must be of type int, not 'x'"):
        levels.read("x")


def test_a_format_object_is_taken_as_it_is():
    form = Int4(64)
    assert parse_format(form) is form
    assert issubclass(Int4, Format)
