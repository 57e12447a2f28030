"""Instructions of the inner loops for ARM, on any machine: nothing of them is run.

    python benchmarks/arm_assembly.py

LLVM compiles every loop of ``runtime/kernels/ir/arm`` for a CPU; the products that an iteration
makes are divided by its instructions. What a call does besides (quantizing, scaling, the ends of
rows) is not in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from inspect import signature
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import types

from trilobite.runtime.kernels.ir.arm import int4, int8, ternary

TRIPLE = "aarch64-unknown-linux-gnu"
INT64 = ir.IntType(64)
CPUS = ["cortex-a76", "cortex-a78ae", "apple-m1", "neoverse-n1", "neoverse-n2"]

# (intrinsic, lengths of the tuples that choose its form, products of an iteration)
LOOPS = {
    "ternary, 1 token": (ternary._one_token, (), 256),
    "ternary, 2 tokens": (ternary._tile2, (), 2 * 256),
    "ternary, 4 tokens": (ternary._tile4, (), 4 * 256),
    "INT4, 1 token": (int4._tile1, (1,), 128),
    "INT4 with zero points, 1 token": (int4._tile1, (2,), 128),
    "INT4, 4 tokens": (int4._tile4, (1,), 4 * 128),
    "groups of 2 bits, 1 token": (int4._tile1, (3,), 256),
    "groups of 2 bits, 4 tokens": (int4._tile4, (3,), 4 * 256),
    "INT8, 1 token": (int8._tile1, (), 64),
    "INT8, 4 tokens": (int8._tile4, (), 4 * 64),
}


class Context:
    """All that an intrinsic asks of Numba's context."""

    @staticmethod
    def get_dummy_value() -> ir.Constant:
        """What stands for no value."""
        return ir.Constant(INT64, 0)


def assembly(intrinsic: Any, cpu: str, forms: tuple[int, ...] = ()) -> str:
    """The assembly of an intrinsic of addresses and counts, and of tuples of ``forms`` lengths."""
    numbers = len(signature(intrinsic._defn).parameters) - 1 - len(forms)
    tuples = [types.UniTuple(types.int64, length) for length in forms]
    sig, generate = intrinsic._defn(None, *[types.int64] * numbers, *tuples)
    module = ir.Module()
    module.triple = TRIPLE
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [INT64] * numbers), name="kernel")
    builder = ir.IRBuilder(function.append_basic_block())
    generate(Context, builder, sig, [*function.args, *[None] * len(forms)])
    builder.ret_void()
    return optimized(str(module), cpu)


def optimized(text: str, cpu: str) -> str:
    """The assembly of LLVM IR for ``cpu``, by LLVM's level 3."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = llvm.Target.from_triple(TRIPLE).create_target_machine(cpu=cpu, opt=3)
    module = llvm.parse_assembly(text)
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(3))
    builder.getModulePassManager().run(module, builder)
    return machine.emit_assembly(module)


@dataclass
class Loop:
    """The ``names`` of a loop's instructions, and whether one of them uses the stack."""

    names: list[str]
    spilled: bool


def innermost_loops(text: str) -> list[Loop]:
    """Each block of the assembly that jumps back to its own beginning."""
    loops: list[Loop] = []
    label, block = "", []
    for line in text.splitlines():
        if found := re.match(r"(\.LBB\w+):", line):
            label, block = found[1], []
        elif re.match(r"\t[a-z]", line):
            block.append(line)
            if label and re.match(rf"\tc?b\S*\s.*{re.escape(label)}$", line):
                names = [instruction.split()[0] for instruction in block]
                loops.append(Loop(names, any("[sp" in instruction for instruction in block)))
    return loops


def main() -> None:
    """Print products per instruction, a row for each loop and a column for each CPU."""
    print("| loop | " + " | ".join(CPUS) + " |\n|---|" + "--:|" * len(CPUS))
    for name, (intrinsic, forms, products) in LOOPS.items():
        loops = [innermost_loops(assembly(intrinsic, cpu, forms))[0] for cpu in CPUS]
        print(f"| {name} | " + " | ".join(f"{products / len(each.names):.2f}" for each in loops)
              + " |")


if __name__ == "__main__":
    main()
