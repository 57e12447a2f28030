"""Which dot products of bytes Numba may use on an ARM CPU.

LLVM lists neither ``dotprod`` nor ``i8mm`` among the features of an ARM host: it knows them from
the CPU's name alone. To ask for such an instruction where the CPU has none ends the process, so
what LLVM would make of a sum that has one for its best form is read from its assembly.
"""

from __future__ import annotations

from functools import cache

import llvmlite.binding as llvm

from ...tools.compiled import config, numba
from .ir.machine import ON_ARM

__all__ = ["arm_dot_products", "dot_products_of"]

# By feature: how the first operand is widened, and the instruction that then is the best form.
_PROBES = {"dotprod": ("sext", "sdot"), "i8mm": ("zext", "usdot")}
_SUM = """
declare <4 x i32> @llvm.vector.partial.reduce.add.v4i32.v16i32(<4 x i32>, <16 x i32>)
define <4 x i32> @f(<4 x i32> %s, <16 x i8> %a, <16 x i8> %b) {{
  %x = {extend} <16 x i8> %a to <16 x i32>
  %y = sext <16 x i8> %b to <16 x i32>
  %p = mul <16 x i32> %x, %y
  %r = call <4 x i32> @llvm.vector.partial.reduce.add.v4i32.v16i32(<4 x i32> %s, <16 x i32> %p)
  ret <4 x i32> %r
}}"""


@cache
def arm_dot_products() -> frozenset[str]:
    """Those of ``dotprod`` and ``i8mm`` that Numba's code may use here; none but on AArch64."""
    if not ON_ARM:
        return frozenset()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    listed = config.CPU_FEATURES
    if listed is None:
        listed = numba.core.codegen.get_host_cpu_features() if config.CPU_NAME is None else ""
    name = config.CPU_NAME or llvm.get_host_cpu_name()
    return dot_products_of(llvm.get_default_triple(), name, listed)


def dot_products_of(triple: str, cpu: str, features: str) -> frozenset[str]:
    """Those that LLVM uses for ``cpu`` with ``features``, as LLVM writes both."""
    without_sve = ",".join(filter(None, (features, "-sve")))   # it has an ``sdot`` of its own
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, features=without_sve)
    found = set()
    for feature, (extend, instruction) in _PROBES.items():
        assembly = machine.emit_assembly(llvm.parse_assembly(_SUM.format(extend=extend)))
        if f"\t{instruction}\tv" in assembly:   # in registers of NEON
            found.add(feature)
    return frozenset(found)
