"""Inner loops for ARM, compiled for five CPUs on any machine: the instructions that they are for.

That their sums are right is tested where such a CPU is, or is emulated: ``make test-arm``.
"""

import llvmlite.binding as llvm
import pytest
from arm_assembly import CPUS, LOOPS, TRIPLE, assembly, innermost_loops

from trilobite.runtime.kernels.arm_features import dot_products_of


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("name", LOOPS)
def test_all_products_are_by_sdot_in_registers(name, cpu):
    """16 products to an ``sdot``, and nothing goes to the stack within the loop."""
    intrinsic, forms, products = LOOPS[name]
    (loop,) = innermost_loops(assembly(intrinsic, cpu, forms))
    assert loop.names.count("sdot") == products // 16
    assert not loop.spilled


@pytest.mark.parametrize(("cpu", "features"), [
    ("generic", set()), ("cortex-a53", set()), ("cortex-a72", set()),
    ("cortex-a76", {"dotprod"}), ("cortex-a78ae", {"dotprod"}), ("apple-m1", {"dotprod"}),
    ("apple-m2", {"dotprod", "i8mm"}), ("neoverse-n2", {"dotprod", "i8mm"}),
])
def test_a_cpus_dot_products_are_found_by_its_name(cpu, features):
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    assert dot_products_of(TRIPLE, cpu, "") == features
    assert dot_products_of(TRIPLE, cpu, "-dotprod,-i8mm") == set()
