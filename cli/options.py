"""Arguments, options and their choices that several commands take."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..fpga.synth.targets import TARGETS

__all__ = [
    "KV",
    "Board",
    "Json",
    "KVScales",
    "Layout",
    "MinP",
    "Mmap",
    "Model",
    "Phase",
    "Prompt",
    "RepetitionPenalty",
    "Seed",
    "Simulator",
    "Stop",
    "SynthDevice",
    "Temperature",
    "Template",
    "TopK",
    "TopP",
    "Vocabulary",
    "Waves",
]

Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="A model folder, demo-bitnet or demo-llama.")
]
Json = Annotated[
    str | None,
    typer.Option("--json", metavar="PATH", help="Also write JSON; '-' for standard output alone."),
]
Prompt = Annotated[str, typer.Option("--prompt", "-p", help="Text that the model is given.")]
Temperature = Annotated[float, typer.Option(help="0 is greedy.")]
TopK = Annotated[int, typer.Option(help="Keep the k most probable; 0 keeps all.")]
TopP = Annotated[float, typer.Option(help="Keep this much probability; 1 keeps all.")]
MinP = Annotated[
    float, typer.Option(help="Keep tokens this probable, beside the most probable; 0 keeps all.")
]
RepetitionPenalty = Annotated[
    float, typer.Option(help="Above 1: tokens that are there already get less probable.")
]
Stop = Annotated[
    list[str] | None, typer.Option(help="End before this text; may be given several times.")
]
Seed = Annotated[int, typer.Option(help="Same seed, same text.")]
Template = Annotated[
    str | None,
    typer.Option(metavar="FILE|chatml", help="A Jinja chat template; default: the model's own."),
]
Waves = Annotated[
    Path | None,
    typer.Option("--waves", "--dump", help="Record all signals in this .fst (or .vcd) file."),
]
Board = Annotated[str, typer.Option(
    "--on", metavar="BOARD", help="sim, uart:DEVICE[@BAUD], uio:NUMBER or pynq:FILE.bit.")]
KVScales = Annotated[
    Path | None, typer.Option(help="Static scales of key channels: a file of calibrate-kv.")
]
Mmap = Annotated[
    bool, typer.Option("--mmap/--no-mmap", help="Use weights where the file is mapped, uncopied.")
]


class Layout(StrEnum):
    """How ``quantize`` stores the weights of an ONNX model."""

    QDQ = "qdq"
    MATMULNBITS = "matmulnbits"
    MATMULNBITS_FLOAT = "matmulnbits-float"


class KV(StrEnum):
    """How keys and values are cached."""

    AUTO = "auto"
    INT8 = "int8"
    INT4 = "int4"
    FP8 = "fp8"
    FLOAT32 = "float32"


class Phase(StrEnum):
    """What ``verify`` counts the cycles of."""

    PREFILL = "prefill"
    DECODE = "decode"


class Vocabulary(StrEnum):
    """Formats of an embedding and a head that the accelerator takes."""

    INT8 = "int8"
    INT4 = "int4"


class Simulator(StrEnum):
    """Simulators that ``verify`` runs."""

    VERILATOR = "verilator"
    ICARUS = "icarus"


# Devices that ``synth`` knows how to synthesize for.
SynthDevice = StrEnum(  # type: ignore[misc]   # mypy wants the names in the source
    "SynthDevice", {name: name for name in TARGETS})
