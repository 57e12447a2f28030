"""The eye on AXI ports: it passes what AXI4 allows, and names every rule that is broken."""

import pytest

from support.axi_rules import FIELDS, AxiRules

WORD = 4
BURST = {"addr": 0x100, "len": 1, "size": 2, "burst": 1, "cache": 3, "prot": 0, "id": 0}
READ = {"data": 7, "resp": 0, "last": 0, "id": 0}
WRITE = {"data": 7, "strb": 15, "last": 0}
DONE = {"resp": 0, "id": 0}


def run(*cycles, **checked):
    """Each cycle: channel=(ready, payload); the rules afterwards."""
    rules = AxiRules(WORD, **checked)
    for cycle in cycles:
        rules.step({name: cycle.get(name, (True, None)) for name in FIELDS})
    return rules


def test_reads_and_writes_that_keep_the_rules_pass():
    last = WRITE | {"last": 1}
    rules = run(
        {"ar": (False, BURST), "aw": (False, BURST), "w": (True, WRITE)},   # data before address
        {"ar": (True, BURST), "aw": (False, BURST), "w": (True, last)},
        {"r": (True, READ), "aw": (True, BURST), "ar": (True, BURST | {"addr": 0xFF8})},
        {"r": (False, READ | {"last": 1}), "b": (True, DONE)},
        {"r": (True, READ | {"last": 1}), "aw": (True, BURST | {"len": 0}), "w": (True, last)},
        {"r": (True, READ), "b": (True, DONE)}, {"r": (True, READ | {"last": 1})})
    assert rules.counts == {"ar": 2, "aw": 2, "w": 3, "r": 4, "b": 2}
    assert not (rules.asked or rules.announced or rules.owed or rules.written)


ASKED = {"ar": (True, BURST)}
WORDS = ({"w": (True, WRITE)}, {"w": (True, WRITE | {"last": 1})})


@pytest.mark.parametrize(("cycles", "sentence"), [
    (({"ar": (False, BURST)}, {}), "ar: .* became None"),
    (({"aw": (False, BURST)}, {"aw": (True, BURST | {"len": 2})}), "aw: .* became"),
    (({"w": (False, WRITE)}, {"w": (True, WRITE | {"data": 8})}), "w: .* became"),
    ((ASKED, {"r": (False, READ)}, {"r": (True, READ | {"resp": 2})}), "r: .* became"),
    (({"ar": (True, BURST | {"burst": 2})},), "ar: burst 2"),
    (({"ar": (True, BURST | {"size": 1})},), "ar: size 1"),
    (({"aw": (True, BURST | {"addr": 0x102})},), "aw: 0x102 is not aligned"),
    (({"ar": (True, BURST | {"addr": 0xFFC})},), "ar: 2 beats from 0xffc cross 4 KiB"),
    ((ASKED | {"r": (True, READ)},), "r: a word that nobody asked for"),
    ((ASKED, {"r": (True, READ | {"last": 1})}), "r: last is 1, 2 were left"),
    ((ASKED, {"r": (True, READ)}, {"r": (True, READ)}), "r: last is 0, 1 were left"),
    ((ASKED, {"r": (True, READ | {"id": 1})}), "r: identifier 1, not 0"),
    ((ASKED, {"r": (True, READ | {"resp": 1})}), "r: EXOKAY"),
    (({"aw": (True, BURST | {"len": 2})}, *WORDS), "w: 2 words of a burst of 3"),
    (({"aw": (True, BURST)}, WORDS[0], WORDS[0]), "w: no last of 2 words"),
    ((*WORDS, {"aw": (True, BURST | {"len": 0})}), "w: 2 words of a burst of 1"),
    (({"aw": (True, BURST)}, WORDS[0], {"b": (True, DONE)}), "b: an answer to no burst"),
    ((*WORDS, {"b": (True, DONE)}), "b: an answer to no burst"),
    (({"aw": (True, BURST)}, WORDS[0], WORDS[1] | {"b": (True, DONE)}), "b: an answer to no burst"),
    (({"aw": (True, BURST)}, *WORDS, {"b": (True, DONE | {"id": 1})}), "b: identifier 1, not 0"),
    (({"aw": (True, BURST)}, *WORDS, {"b": (True, DONE | {"resp": 1})}), "b: EXOKAY"),
])
def test_a_broken_rule_is_named(cycles, sentence):
    with pytest.raises(AssertionError, match=sentence):
        run(*cycles)


def test_a_reset_forgets_what_was_under_way():
    rules = run(ASKED, {"aw": (False, BURST)})
    rules.forget()
    rules.step({name: (True, None) for name in FIELDS})
    with pytest.raises(AssertionError, match="nobody asked"):
        rules.step({"r": (True, READ)})


def test_channels_that_are_not_checked_may_do_anything():
    run({"r": (True, READ)}, {"b": (False, DONE)}, {}, checked=("ar", "aw", "w"))
