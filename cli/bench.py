"""``trilobite bench``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import TrilobiteError
from .app import app
from .choices import FORMAT_OPTIONS, command_class, formats_table
from .console import Output, TextTable, bytes_text, make_table
from .options import KV, Json, Mmap

if TYPE_CHECKING:
    from ..api.bench import BenchResult
    from ..api.bench_peer import PeerRates
    from ..runtime.timing import DecodeTime, PrefillTime

__all__ = ["bench", "counts"]


@app.command(
    epilog="Example: trilobite bench --shape bitnet-0.73b --context 128 --threads 1,2",
    cls=command_class(formats_table, retired=FORMAT_OPTIONS),
)
def bench(
    model: Annotated[
        str | None,
        typer.Argument(metavar="[MODEL]", help="A model folder, demo-bitnet or demo-llama."),
    ] = None,
    shape: Annotated[
        str | None,
        typer.Option(
            help="Random weights instead: bitnet-0.73b, bitnet-2b, llama-2-7b, or a .toml file."
        ),
    ] = None,
    format: Annotated[
        str, typer.Option(
            metavar="FORMAT[,OPTION...]", help="--shape: number format of the layers' weights."
        )
    ] = "ternary",
    context: Annotated[
        str | None,
        typer.Option(help="Tokens before a decode step; several with commas; '' for none. "
                          "Default: 128,1024, or what the model has positions for."),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(help="Tokens of a prefill; several with commas; '' for none. Default: "
                          "128,512, or what the model has positions for."),
    ] = None,
    threads: Annotated[str, typer.Option(help="Thread counts, with commas between them.")] = "1",
    steps: Annotated[int, typer.Option(help="Decode steps to take the median of.")] = 16,
    kv: Annotated[KV, typer.Option(help="Format of the KV cache.")] = KV.AUTO,
    seed: Annotated[int, typer.Option(help="--shape: same seed, same weights.")] = 0,
    mmap: Mmap = True,
    peer: Annotated[
        str | None,
        typer.Option(metavar="llama.cpp", help="Time llama.cpp too, on MODEL exported to GGUF."),
    ] = None,
    json: Json = None,
) -> None:
    """Measure decode and prefill tokens/s, and where a decode step's time goes."""
    from ..api.bench import bench as measure

    output = Output(json)
    contexts = None if context is None else counts("--context", context)
    prompts = None if prompt is None else counts("--prompt", prompt)
    thread_counts = counts("--threads", threads)
    with output.bar("Loading the model", notes=output.notes) as bar:
        result = measure(model, shape, format, contexts, prompts, thread_counts, steps, kv.value,
                         seed, mmap, bar, peer)
    _print(output, result)
    output.json(result.to_json())


def counts(option: str, text: str) -> list[int]:
    """Whole numbers above zero from ``text``, "128,1024"; an empty text is none of them.

    Raises ``TrilobiteError``, naming ``option``.
    """
    words = text.split(",") if text else []
    if not all(word.strip().isdecimal() and int(word) > 0 for word in words):
        raise TrilobiteError(
            f"{option} takes whole numbers above 0 with commas between them, as in 128,1024; "
            f"not {text!r}"
        )
    return [int(word) for word in words]


def _print(output: Output, result: BenchResult) -> None:
    output.print(
        "[bold]{}[/]: weights {}, in memory {} (at most {}); loaded in {:.2f} s, first token after "
        "{:.2f} s more; kernel {}, {} keys and values",
        result.model, bytes_text(result.weight_bytes), bytes_text(result.resident_bytes),
        bytes_text(result.peak_resident_bytes), result.load_seconds, result.first_token_seconds,
        result.kernel, result.kv,
    )
    if result.decode:
        output.show(_decode_table(result.decode))
    if result.prefill:
        output.show(_prefill_table(result.prefill))
    if result.peer is not None:
        _print_peer(output, result, result.peer)


def _print_peer(output: Output, result: BenchResult, peer: PeerRates) -> None:
    """The ratios to another runtime's rates."""
    types = ", ".join(f"{number} {name}" for name, number in peer.types.items())
    output.print("{} ({}), on tensors {}; with flash attention where that is faster",
                 peer.peer, peer.version, types)
    for warning in peer.warnings:
        output.warn(warning)
    table = make_table(">stage", ">tokens", ">threads", ">tokens/s", f">{peer.peer}", ">ratio",
                       title="Beside it")
    ours = [("decode", one.context, one.threads, one.tokens_per_second) for one in result.decode]
    ours += [("prefill", one.tokens, one.threads, one.tokens_per_second) for one in result.prefill]
    theirs = {(stage, one.tokens, one.threads): one.tokens_per_second
              for stage in ("decode", "prefill") for one in getattr(peer, stage)}
    for stage, tokens, threads, rate in ours:
        other = theirs[stage, tokens, threads]
        table.add_row(stage, str(tokens), str(threads), f"{rate:.1f}", f"{other:.1f}",
                      f"{rate / other:.2f}")
    output.show(table)


def _decode_table(decodes: Sequence[DecodeTime]) -> TextTable:
    table = make_table(
        ">context", ">threads", ">tokens/s", ">ms", ">matmul", ">attention", ">head", ">rest",
        ">GB/s", title="Decode: tokens/s, and milliseconds of a token",
    )
    for result in decodes:
        stages = (result.step, result.matmul, result.attention, result.head, result.rest)
        table.add_row(
            str(result.context), str(result.threads), f"{result.tokens_per_second:.1f}",
            *(f"{1e3 * seconds:.2f}" for seconds in stages), f"{result.bytes_per_second / 1e9:.1f}",
        )
    return table


def _prefill_table(prefills: Sequence[PrefillTime]) -> TextTable:
    table = make_table(">prompt", ">threads", ">tokens/s", ">seconds", title="Prefill")
    for result in prefills:
        table.add_row(
            str(result.tokens), str(result.threads), f"{result.tokens_per_second:.1f}",
            f"{result.seconds:.3f}",
        )
    return table
