"""A tiny accelerator with its registers, on a memory of cocotbext-axi."""

import numpy as np
import pytest

from support.tiny_accelerator import MODEL, TINY
from trilobite.fpga.accelerator import Accelerator
from trilobite.fpga.compiler import compile_model
from trilobite.quant.formats import Ternary
from trilobite.runtime.decoder import Decoder
from trilobite.runtime.language_model import Session
from trilobite.runtime.random_weights import random_weights
from trilobite.sim.verify.bench import build, run_tests

pytest.importorskip("cocotbext.axi")

PROMPT = [3, 14, 15, 9, 26]
NEW_TOKENS = 2
NO_TOKEN = 0xFFFF_FFFF


def chosen_by_the_runtime(weights):
    session = Session(Decoder(MODEL, weights), "int8", 16)
    chosen = [int(np.argmax(session.prefill(PROMPT)))]
    while len(chosen) < NEW_TOKENS:
        chosen.append(int(np.argmax(session.prefill(chosen[-1:]))))
    return chosen


@pytest.mark.slow
def test_stalls_aborts_and_refused_accesses_end_well(tmp_path):
    """Each run afterwards gives the runtime's tokens, and the same memory to the last byte."""
    weights = random_weights(MODEL, Ternary())
    compiled = compile_model(MODEL, weights, TINY, 16)
    words = np.zeros((1 << 14, TINY.word_bytes), np.uint8)
    for first, contents in compiled.memory.image():
        words[first:first + len(contents)] = contents
    at = compiled.word("tokens") * TINY.word_bytes
    prompt = np.array(PROMPT, "<i4").view(np.uint8)
    words.reshape(-1)[at:at + len(prompt)] = prompt
    given = tmp_path / "given.npz"
    np.savez(given, image=words, chosen_at=at + len(prompt),
             chosen=np.array(chosen_by_the_runtime(weights), "<i4"),
             run=[compiled.word("program"), compiled.word("tiles"), len(compiled.tiles),
                  len(PROMPT), 0, NEW_TOKENS, NO_TOKEN, 0])
    run_tests(build(Accelerator(TINY), "accelerator"), "support.accelerator_tests",
              ["stalls_on_every_channel_change_nothing",
               "a_clean_run_follows_an_abort_in_the_prefill",
               "a_clean_run_follows_a_reset_in_the_prefill",
               "refused_accesses_end_in_an_error_code"],
              environment={"ACCELERATOR_TEST": str(given)})
