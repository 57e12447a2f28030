"""Vivado for a Tcl script: its commands by a table, and a block design that knows its pins."""

import re
import tkinter
import tomllib
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

COMMANDS = tomllib.loads((Path(__file__).parent / "vivado_commands.toml").read_text())
CORES = ("zynq_ultra_ps_e:3.4", "zynq_ultra_ps_e:3.5", "proc_sys_reset:5.0", "smartconnect:1.0")

# Pins by core: interfaces and their mode, inputs, outputs. PG201 (the processing system; those of
# a port are there where it is used), PG164 (resets), PG247 (SmartConnect).
PS_PORTS = {"M_AXI_GP0": ("M_AXI_HPM0_FPD", "master", "maxihpm0_fpd_aclk"),
            "M_AXI_GP1": ("M_AXI_HPM1_FPD", "master", "maxihpm1_fpd_aclk"),
            "M_AXI_GP2": ("M_AXI_HPM0_LPD", "master", "maxihpm0_lpd_aclk"),
            **{f"S_AXI_GP{2 + number}": (f"S_AXI_HP{number}_FPD", "slave",
                                         f"saxihp{number}_fpd_aclk") for number in range(4)}}
PS_PARAMETERS = {
    *(f"PSU__USE__{port}" for port in PS_PORTS),
    *(f"PSU__MAXIGP{number}__DATA_WIDTH" for number in range(3)),
    *(f"PSU__SAXIGP{number}__DATA_WIDTH" for number in range(2, 6)),
    "PSU__USE__IRQ0", "PSU__FPGA_PL0_ENABLE", "PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ"}
STRATEGIES = {   # UG904, UG901
    "Flow_PerfOptimized_high", "Performance_ExplorePostRoutePhysOpt", "Performance_ExtraTimingOpt",
    "Performance_NetDelay_high", "Congestion_SpreadLogic_high"}


class Refused(Exception):  # noqa: N818 - what happened
    """The script ended by an error."""


@dataclass
class Cell:
    interfaces: dict   # name: master or slave
    inputs: set
    outputs: set
    properties: dict = field(default_factory=dict)


class Vivado:
    """Runs a script; ``slack`` answers for each implementation in turn.

    ``interfaces`` are the accelerator's: name and mode of AXI4, and ``pins`` its other inputs.
    """

    def __init__(self, interfaces, pins, slack=(0.1,), module="trilobite_accelerator"):
        self.interfaces, self.pins, self.module = interfaces, pins, module
        self.slack = list(slack)
        self.cells, self.nets, self.links, self.segments = {}, [], [], {}
        self.calls, self.properties, self.executed, self.problem = [], {}, [], ""
        self.tcl = tkinter.Tcl()
        for name in COMMANDS:
            self.tcl.createcommand(name, self._command(name))
        self.tcl.createcommand("exec", lambda *words: self.executed.append(words) or "")
        self.tcl.eval("rename file real_file; proc file {verb args} {"
                      "if {$verb eq {copy}} {return}; return [real_file $verb {*}$args]}")

    def run(self, script, *arguments):
        """Raises ``Refused`` where Vivado or the script would end by an error."""
        self.tcl.setvar("argv", arguments)
        try:
            self.tcl.eval(f"source {{{script}}}")
        except tkinter.TclError as error:
            raise Refused(self.problem or str(error)) from None

    def _command(self, name):
        def called(*words):
            try:
                options, arguments = self._parsed(name, words)
                self.calls.append((name, options, arguments))
                answer = getattr(self, f"do_{name}", lambda options, *arguments: "")(
                    options, *arguments)
            except Exception as error:   # of which Tcl would keep nothing
                self.problem = f"{name}: {error}"
                raise
            return "" if answer is None else answer
        return called

    def _parsed(self, name, words):
        """Options and positional arguments, as the table says; a sentence about what is wrong."""
        table, options, arguments, words = COMMANDS[name], {}, [], list(words)
        while words:
            word = words.pop(0)
            if word in table["values"]:
                assert words, f"{name} {word} wants a value"
                options[word] = words.pop(0)
            elif word in table["flags"] or word in ("-quiet", "-verbose"):
                options[word] = True
            else:
                assert not re.match(r"-[a-z]", word), f"{name} has no option {word}"
                arguments.append(word)
        least, most = table["arguments"]
        assert least <= len(arguments) <= most, f"{name} takes {least} to {most}: {arguments}"
        return options, arguments

    def split(self, words):
        return self.tcl.splitlist(words)

    # The catalogue and the project.
    def do_get_board_parts(self, options, pattern):
        known = [f"xilinx.com:kv260_som:part0:{version}" for version in ("1.2", "1.10", "1.4")]
        return tuple(name for name in known if fnmatchcase(name, pattern))

    def do_get_ipdefs(self, options, pattern):
        return tuple(name for core in CORES
                     if fnmatchcase(name := f"xilinx.com:ip:{core}", pattern))

    def do_add_files(self, options, *files):
        assert all(Path(file).is_file() for file in files if "wrapper" not in file), files

    def do_make_wrapper(self, options):
        return "system_wrapper.v"

    # The block design.
    def do_create_bd_cell(self, options, name):
        assert name not in self.cells
        kind = options.get("-reference") or options["-vlnv"].split(":")[2]
        assert (options["-type"] == "module") == ("-reference" in options)
        self.cells[name] = {
            "zynq_ultra_ps_e": lambda: Cell({}, set(), {"pl_clk0", "pl_resetn0"}),
            "proc_sys_reset": lambda: Cell(
                {}, {"slowest_sync_clk", "ext_reset_in"}, {"peripheral_aresetn"}),
            "smartconnect": lambda: Cell({}, {"aclk", "aresetn"}, set()),
            self.module: lambda: Cell(dict(self.interfaces), set(self.pins), {"interrupt"}),
        }[kind]()
        return name

    def do_get_bd_cells(self, options, name):
        assert name in self.cells, f"there is no cell {name}"
        return name

    def do_set_property(self, options, *arguments):
        *pairs, target = arguments
        pairs = self.split(pairs[0]) if "-dict" in options else pairs
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if target in self.cells:
                self._configure(self.cells[target], key.removeprefix("CONFIG."), value)
            elif key == "strategy":
                assert value in STRATEGIES
            self.properties[target, key] = value

    def _configure(self, cell, key, value):
        cell.properties[key] = value
        if key in ("NUM_SI", "NUM_MI"):
            side, mode = ("S", "slave") if key == "NUM_SI" else ("M", "master")
            cell.interfaces |= {f"{side}{number:02}_AXI": mode for number in range(int(value))}
            return
        assert key in PS_PARAMETERS, f"the processing system has no parameter {key}"
        if (port := key.removeprefix("PSU__USE__")) in PS_PORTS and value == "1":
            name, mode, clock = PS_PORTS[port]
            cell.interfaces[name] = mode
            cell.inputs.add(clock)
        if key == "PSU__USE__IRQ0":
            cell.inputs.add("pl_ps_irq0")

    def _pin(self, name, kinds):
        cell, pin = name.split("/")
        assert any(pin in getattr(self.cells[cell], kind) for kind in kinds), f"no pin {name}"
        return name

    def do_get_bd_pins(self, options, name):
        return self._pin(name, ("inputs", "outputs"))

    def do_get_bd_intf_pins(self, options, name):
        return self._pin(name, ("interfaces",))

    def do_connect_bd_net(self, options, source, *sinks):
        cell, pin = source.split("/")
        assert pin in self.cells[cell].outputs, f"{source} drives nothing"
        self.nets += [(source, sink) for sink in sinks]

    def do_connect_bd_intf_net(self, options, one, other):
        modes = [self.cells[cell].interfaces[pin] for cell, pin in (
            one.split("/"), other.split("/"))]
        assert modes == ["master", "slave"], f"{one} and {other} are {modes}"
        self.links.append((one, other))

    def do_get_bd_addr_spaces(self, options, name):
        cell, space = name.split("/")
        assert space == "Data" if cell == "ps" else space in self.cells[cell].interfaces
        return name

    def do_get_bd_addr_segs(self, options, name):
        return name

    def do_assign_bd_address(self, options, segment):
        self.segments.setdefault(options["-target_address_space"], []).append(
            (segment, options.get("-offset"), options.get("-range")))

    def do_validate_bd_design(self, options):
        """Every input and every interface is connected exactly once."""
        sinks = sorted(sink for _, sink in self.nets)
        assert sinks == sorted(f"{name}/{pin}" for name, cell in self.cells.items()
                               for pin in cell.inputs)
        ends = sorted(end for link in self.links for end in link)
        assert ends == sorted(f"{name}/{pin}" for name, cell in self.cells.items()
                              for pin in cell.interfaces)

    # Runs.
    def do_get_runs(self, options, name):
        assert name in ("synth_1", "impl_1")
        return name

    def do_launch_runs(self, options, run):
        if run == "impl_1":
            self.properties[run, "STATS.WNS"] = self.properties[run, "STATS.WHS"] = str(
                self.slack.pop(0))

    def do_get_property(self, options, name, target):
        return {"PROGRESS": "100%", "CONFIG.PSU__CRL_APB__PL0_REF_CTRL__ACT_FREQMHZ": "249.9975",
                }.get(name) or self.properties[target, name]
