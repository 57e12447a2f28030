"""What can be synthesized: the accelerator's blocks, as large as a configuration says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from ...errors import ToolError
from ...hw.component import Component
from ...hw.floats.add import FloatAdd
from ...hw.floats.compare import FloatCompare, FloatMaximum
from ...hw.floats.exponential import FloatExp, FloatSigmoid
from ...hw.floats.format import FLOAT32
from ...hw.floats.from_integer import IntegerToFloat
from ...hw.floats.multiply import FloatMultiply
from ...hw.floats.reciprocal import FloatReciprocal, FloatRsqrt
from ...hw.floats.to_integer import FloatToInteger
from ...hw.matmul.engine_parameters import TlmmParameters
from ...hw.matmul.lookup_tables import READERS
from ...hw.matmul.packed_dots import PackedDots
from ...hw.matmul.sign_select import SignSelect
from ...hw.matmul.tlmm import Tlmm
from ...hw.memory.axi import COUNT_WIDTH
from ...hw.memory.read_master import ReadMaster
from ...hw.memory.striped_port import StripedPort
from ...hw.rows.elementwise import Elementwise
from ...hw.rows.gates import Relu2Gate, SiluGate
from ...npu import ArrayParameters, Stationary
from ...npu.array import Array
from ..accelerator_parameters import AcceleratorParameters
from ..attend_driver import AttendDriver
from ..core import Core
from ..counters import Counters
from ..fetchers import DescriptorFetcher, TileFetcher
from ..matmul_driver import MatmulDriver
from ..quantize_driver import QuantizeDriver
from ..sequencer import Sequencer
from ..units import OPTIONS, UNITS
from ..vocabulary_drivers import EmbedDriver, HeadDriver

__all__ = ["BLOCKS", "SynthBlock", "part_of", "select_blocks"]

# Columns, tables and group size.
ENGINE_SIZES = ((4, 4, 3), (8, 4, 3), (4, 8, 3), (8, 8, 3), (14, 8, 3), (8, 16, 3), (14, 16, 3),
                (4, 8, 2), (8, 8, 2), (8, 16, 2), (4, 4, 4), (4, 8, 4), (8, 8, 4))
COMPARED_PASS = 60   # the smallest pass length that groups of 2, 3, 4 and 5 divide


@dataclass(frozen=True)
class SynthBlock:
    """Something to synthesize.

    ``part`` says whether it is one of the blocks of which the accelerator is made; the others are
    inside of a part, or are there to be compared. ``option`` is the parameter that an accelerator
    with this part has. ``engine`` gives a matmul engine's parameters.
    """

    name: str
    make: Callable[[AcceleratorParameters], Component]
    part: bool = False
    engine: Callable[[AcceleratorParameters], TlmmParameters] | None = None
    option: str = ""

    def macs_per_cycle(self, parameters: AcceleratorParameters) -> int | None:
        """Ternary multiply-accumulates per cycle; None if it is no matmul engine."""
        return self.engine(parameters).macs_per_cycle if self.engine else None


def compared_engine(group_size: int) -> Callable[[AcceleratorParameters], TlmmParameters]:
    """An engine of ``group_size`` that does as much per cycle as those of the other sizes."""
    def engine(parameters: AcceleratorParameters) -> TlmmParameters:
        return replace(parameters.tlmm, group_size=group_size, tables=COMPARED_PASS // group_size,
                       columns=2 * READERS)

    return engine


def _compared(name: str, kind: Callable[[TlmmParameters], Component]) -> list[SynthBlock]:
    def block(size: int) -> SynthBlock:
        engine = compared_engine(size)
        return SynthBlock(f"{name}-g{size}", lambda p: kind(engine(p)), engine=engine)

    return [block(size) for size in (2, 3, 4, 5)]


def _sized(name: str, kind: Callable[[TlmmParameters], Component], columns: int, tables: int,
           group_size: int) -> SynthBlock:
    """An engine of a given size, of which estimates of other sizes are fitted."""
    def engine(p: AcceleratorParameters) -> TlmmParameters:
        return replace(p.tlmm, group_size=group_size, tables=tables, columns=columns)

    return SynthBlock(f"{name}-c{columns}-t{tables}-g{group_size}", lambda p: kind(engine(p)),
                      engine=engine)


def _read_master(p: AcceleratorParameters) -> ReadMaster:
    return ReadMaster(address_width=p.address_width, word_bytes=p.word_bytes,
                      max_burst=p.max_burst, outstanding=p.outstanding, count_width=COUNT_WIDTH)


def _striped_port(p: AcceleratorParameters) -> StripedPort:
    """Four ports, as the HP ports of a Zynq are."""
    return StripedPort(address_width=p.address_width, word_bytes=p.word_bytes, ports=4,
                       port_address_width=40)


def _array(name: str, shape: ArrayParameters) -> SynthBlock:
    return SynthBlock(name, lambda _: Array(shape))


def _float(name: str, make: Callable[[], Component]) -> SynthBlock:
    return SynthBlock(f"float-{name}", lambda _: make())


# Where the name of a unit in ``Core`` says too little.
_NAMES = {"reader": "shared-reader", "writer": "shared-writer", "sink": "row-sink",
          "tiles": "tile-buffer", "logits": "logit-writer", "engine": "tlmm",
          "jobs": "job-repeater", "digits": "digit-sum", "splitter": "scale-splitter",
          "scales": "scale-buffer"}


def part_of(submodule: str) -> str:
    """The name of the part that is a ``submodule`` of ``Core``."""
    return _NAMES.get(submodule, submodule.replace("_", "-"))


def _unit_block(name: str) -> SynthBlock:
    engine = (lambda p: p.tlmm) if name == "engine" else None
    return SynthBlock(part_of(name), UNITS[name], part=True, engine=engine)


def _optional_block(name: str) -> SynthBlock:
    """Also of an accelerator that lacks it: as it would be there."""
    option, make = OPTIONS[name]

    def made(p: AcceleratorParameters) -> Component:
        if p.scale_beats or option != "scale_beats":
            return make(p)
        return make(replace(p, scale_lanes=p.lanes, scale_beats=2 * p.weight_beats))

    return SynthBlock(part_of(name), made, part=True, option=option)


_PARTS = (
    *(_unit_block(name) for name in UNITS),
    *(_optional_block(name) for name in OPTIONS),
    *(SynthBlock(name, make, part=True) for name, make in (
        ("sequencer", Sequencer), ("descriptor-fetcher", DescriptorFetcher),
        ("tile-fetcher", TileFetcher), ("embed-driver", EmbedDriver),
        ("quantize-driver", QuantizeDriver), ("matmul-driver", MatmulDriver),
        ("attend-driver", AttendDriver), ("head-driver", HeadDriver),
        ("counters", lambda _: Counters()))),
)
# Rows and lanes of the INT4 x FP8 arrays, weights staying, of which other sizes are fitted.
ARRAY_SIZES = ((4, 4), (4, 8), (8, 4), (8, 8), (4, 16), (16, 4), (8, 16), (16, 8), (16, 16))
# 64 multiply-accumulates per cycle each.
_NPU_SHAPES = {
    Stationary.WEIGHT: ArrayParameters(Stationary.WEIGHT, rows=8, lanes=8, tokens=64),
    Stationary.OUTPUT: ArrayParameters(Stationary.OUTPUT, rows=4, lanes=4, tokens=4),
}
_OTHERS = (
    SynthBlock("accelerator", Core),
    SynthBlock("sign-select", lambda p: SignSelect(p.tlmm), engine=lambda p: p.tlmm),
    *_compared("tlmm", Tlmm),
    *_compared("sign-select", SignSelect),
    *(_sized(name, kind, *size) for name, kind in (("tlmm", Tlmm), ("sign-select", SignSelect))
      for size in ENGINE_SIZES),
    # 96 products of INT4 and int8 in a cycle: by digits, of which three rows make one, and by DSPs.
    _sized("tlmm", Tlmm, 12, 8, 3),
    SynthBlock("int4-dots", lambda _: PackedDots(rows=4, length=24)),
    SynthBlock("read-master", _read_master),
    SynthBlock("striped-port", _striped_port),
    SynthBlock("silu-gate", lambda p: Elementwise(SiluGate, p.lanes)),
    SynthBlock("relu2-gate", lambda p: Elementwise(Relu2Gate, p.lanes)),
    *(_array(f"npu-{kind}-stationary", shape) for kind, shape in _NPU_SHAPES.items()),
    *(_array(f"array-r{rows}-l{lanes}",
             replace(_NPU_SHAPES[Stationary.WEIGHT], rows=rows, lanes=lanes))
      for rows, lanes in ARRAY_SIZES),
)
_FLOATS = tuple(_float(name, make) for name, make in (
    ("add", lambda: FloatAdd(FLOAT32)),
    ("multiply", lambda: FloatMultiply(FLOAT32)),
    ("compare", lambda: FloatCompare(FLOAT32)),
    ("maximum", lambda: FloatMaximum(FLOAT32)),
    ("from-integer", lambda: IntegerToFloat(FLOAT32, 32)),
    ("to-integer", lambda: FloatToInteger(FLOAT32, 8)),
    ("exp", FloatExp),
    ("sigmoid", FloatSigmoid),
    ("reciprocal", FloatReciprocal),
    ("rsqrt", FloatRsqrt),
))

BLOCKS: dict[str, SynthBlock] = {block.name: block for block in (*_PARTS, *_OTHERS, *_FLOATS)}


def select_blocks(patterns: Sequence[str],
                  parameters: AcceleratorParameters | None = None) -> list[SynthBlock]:
    """The blocks whose names match a pattern (``float-*``), each once; all parts if there is none.

    Of parts that are options, those are among all that an accelerator with ``parameters`` has.

    Raises
    ------
    ToolError
        A pattern matches nothing.
    """
    if not patterns:
        return [block for block in BLOCKS.values() if block.part and (
            not block.option or (parameters and getattr(parameters, block.option)))]
    chosen: dict[str, SynthBlock] = {}
    for pattern in patterns:
        found = {name: block for name, block in BLOCKS.items() if fnmatchcase(name, pattern)}
        if not found:
            raise ToolError(f"There is no block {pattern!r}; there are {', '.join(BLOCKS)}")
        chosen |= found
    return list(chosen.values())
