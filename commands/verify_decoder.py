"""``trilobite verify --block all``: the whole decoder, token for token."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..api.models import load
from ..cli.console import Output, make_table
from ..errors import TrilobiteError
from ..fpga.compiler import Program, compile_model
from ..fpga.configuration import load_configuration
from ..quant.checkpoint import open_checkpoint
from ..quant.pipeline import quantize
from ..runtime.language_model import LanguageModel
from ..sim.descriptions.ddr_timing import DdrTiming
from ..sim.verify.decoder import DecoderReport, StepResult, verify_decoder

__all__ = ["run"]

# DDR4 beside a fabric at 250 MHz: 60 cycles of latency, a refresh of 350 ns every 7.8 us.
_TIMING = DdrTiming(latency=60, refresh_interval=1950, refresh_cycles=88)


def run(output: Output, path: str, prompt: str, new_tokens: int, tokens: int | None,
        waves: Path | None, hardware: str) -> bool:
    """Simulate prefill and decode beside the runtime; whether all was equal."""
    parameters = load_configuration(hardware)
    with tempfile.TemporaryDirectory(prefix="trilobite-") as scratch:
        folder = _ternary(output, path, Path(scratch) / "model")
        with output.console.status("Running the model ..."):
            model = load(folder)
            ids = model.tokenizer.encode(prompt)[:tokens]
            with open_checkpoint(folder) as checkpoint:
                program = compile_model(checkpoint.config, checkpoint.weight, parameters,
                                        len(ids) + new_tokens, keep_residuals=True)
        began = time.perf_counter()
        with output.progress("Building the accelerator", new_tokens) as advance:
            report = verify_decoder(
                program, ids, new_tokens, _Runtime(model, len(ids) + new_tokens), _TIMING, waves,
                progress=lambda description, done, total: advance(
                    done * new_tokens / total, description))
        seconds = time.perf_counter() - began
        _print(output, model, program, report, len(ids), seconds)
    output.json({"model": path, "hardware": hardware, "prompt_tokens": len(ids),
                 "new_tokens": new_tokens, "seconds": seconds, **report.to_json()})
    return report.equal


def _ternary(output: Output, path: str, folder: Path) -> str | Path:
    """The model itself, or a ternary copy of one that was trained ternary."""
    with open_checkpoint(path) as checkpoint:
        if checkpoint.quantization is not None:
            return path
        if not checkpoint.config.bitlinear:
            raise TrilobiteError(
                f"{path} is not quantized, and the accelerator multiplies ternary weights; "
                "quantize the model with --format ternary first")
    output.print(f"{path} holds master weights; its ternary copy with int8 embedding is verified.",
                 markup=False)
    quantize(path, folder, format="ternary")
    return folder


class _Runtime:
    """The runtime as ``Reference``."""

    def __init__(self, model: LanguageModel, capacity: int) -> None:
        self._model = model
        self._session = model.session(capacity)

    def feed(self, token_ids: Sequence[int]) -> tuple[list[np.ndarray], int]:
        """See ``Reference.feed``."""
        seen: dict[str, np.ndarray] = {}
        logits = self._session.feed(token_ids, seen.__setitem__)
        layers = range(self._model.config.num_layers)
        residuals = [self._model.decoder.embedding(np.asarray(token_ids)),
                     *(seen[f"model.layers.{layer}.output"] for layer in layers)]
        return residuals, int(np.argmax(logits[-1]))


def _print(output: Output, model: LanguageModel, program: Program, report: DecoderReport,
           prompt: int, seconds: float) -> None:
    table = make_table("step", ">tokens", ">cycles", ">cycles per token", ">residual streams equal",
                       ">tokens equal")
    prefill = [step for step in report.steps if step.position < prompt]
    decode = [step for step in report.steps if step.position >= prompt]
    for name, steps in (("prefill", prefill), ("decode", decode)):
        if steps:
            table.add_row(name, *_row(steps))
    output.print(table)
    counters = make_table("counter", ">prefill", ">decode, a token")
    for name in report.counts:
        mean = sum(step.counts[name] for step in decode) / max(len(decode), 1)
        counters.add_row(name.replace("_", " "), f"{sum(s.counts[name] for s in prefill):,}",
                         f"{mean:,.0f}")
    output.print(counters)
    text = model.tokenizer.decode(list(report.tokens))
    output.print(f"In one run: {len(report.tokens)} tokens in {report.counts['cycles']:,} cycles, "
                 f"{program.memory.words * program.parameters.word_bytes:,} bytes of memory, "
                 f"{seconds:.0f} s of building and simulation. It wrote: {text!r}", markup=False)
    if report.equal:
        output.print("[green]Every residual stream and every token equals the runtime's.[/]")
        return
    wrong = next((step for step in report.steps if not step.equal), None)
    if wrong is None:
        output.print(f"[red]Step by step all is equal, but in one run the tokens were "
                     f"{report.tokens}, not {report.expected_tokens}.[/]")
        return
    where = (f"residual stream {wrong.residuals_equal.index(False)}"
             if not all(wrong.residuals_equal) else f"token {wrong.token}")
    output.print(f"[red]The step at position {wrong.position} differs first: {where}.[/]")


def _row(steps: Sequence[StepResult]) -> tuple[str, ...]:
    tokens = sum(step.tokens for step in steps)
    cycles = sum(step.counts["cycles"] for step in steps)
    flags = [flag for step in steps for flag in step.residuals_equal]
    chosen = [step for step in steps if step.expected_token is not None]
    right = sum(step.token == step.expected_token for step in chosen)
    return (f"{tokens:,}", f"{cycles:,}", f"{cycles / tokens:,.0f}",
            f"{sum(flags):,} of {len(flags):,}", f"{right} of {len(chosen)}")
