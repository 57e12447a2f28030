"""The devices that can be synthesized for, and the steps of Yosys for each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...errors import ToolError
from .cells import XILINX_RESOURCES

__all__ = ["TARGETS", "TOP", "Target", "find_target"]

TOP = "top"   # the module that is synthesized

# Instead of abc9, in which the WebAssembly build of Yosys crashes, the tail of synth_xilinx is
# written out with the plain abc, for LUTs of six inputs: with the wider ones that MUXF7 to MUXF9
# would make, abc runs out of memory on large blocks, and the small ones take as many LUTs.
#
# A table that is only read and has many ports is logic: matching each port to a LUT RAM's, Yosys
# would take more memory than WebAssembly has.
#
# Registers and adders beside a multiplier are packed into its DSP block for the 7 series only
# (xilinx_dsp): multipliers become DSP48E1 first, which DSP48E2 can stand for.
_XILINX = f"synth_xilinx -family xcup -flatten -uram -noiopad -top {TOP}"
_DSP48E2 = Path(__file__).with_name("dsp48e2.v")
_ULTRASCALE = (
    f"{_XILINX} -run begin:map_dsp; "
    f"synth_xilinx -family xc7 -run map_dsp:coarse; techmap -map {_DSP48E2.name}; "
    f"{_XILINX} -run coarse:map_memory; "
    'setattr -set ram_style "logic" t:$mem_v2 r:WR_PORTS=0 %i r:RD_PORTS>=8 %i; '
    f"{_XILINX} -run map_memory:map_luts; "
    "opt_expr -mux_undef -noclkinv; abc -lut 6; clean; "
    "xilinx_srl -fixed -minlen 3; "
    "techmap -map +/xilinx/lut_map.v -map +/xilinx/cells_map.v -D LUT_WIDTH=6; "
    "xilinx_dffopt; opt_lut_ins -tech xilinx; "
    f"{_XILINX} -run finalize:check"
)
_ECP5 = f"synth_lattice -family ecp5 -top {TOP}"


@dataclass(frozen=True)
class Target:
    """A device: its configuration of the accelerator, the steps of Yosys, what is counted.

    ``place`` holds nextpnr's options where there is an open place-and-route; there, the
    resources are what nextpnr reports, otherwise what the netlist's cells take.
    """

    name: str
    configuration: str
    steps: str
    resources: tuple[str, ...]
    place: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()   # that the steps read, from the folder they run in

    @property
    def script(self) -> str:
        """All of Yosys' work: from ``design.il`` to ``netlist.json`` and ``stat.json``."""
        # $scopeinfo cells say where flattened modules were, and are nothing.
        return (f"read_rtlil design.il; {self.steps}; delete t:$scopeinfo; "
                f"select -module {TOP}; write_json -selected netlist.json; select -clear; "
                "tee -q -o stat.json stat -json")


TARGETS: dict[str, Target] = {target.name: target for target in (
    Target("kv260", "kv260", _ULTRASCALE, XILINX_RESOURCES, files=(_DSP48E2,)),
    # The smallest of five seeds' paths is not searched for: one seed, as it comes.
    Target("ecp5-85f", "demo", _ECP5, ("LUT", "FF", "DSP", "BRAM18"),
           place=("--85k", "--package", "CABGA756", "--speed", "6", "--freq", "200",
                  "--timing-allow-fail", "--seed", "1", "--out-of-context")),
)}


def find_target(name: str) -> Target:
    """The device called ``name``.

    Raises
    ------
    ToolError
        There is no way of synthesizing for it.
    """
    if name not in TARGETS:
        raise ToolError(f"There is no synthesis for {name!r}; there is for {', '.join(TARGETS)}")
    return TARGETS[name]
