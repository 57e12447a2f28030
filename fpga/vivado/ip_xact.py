"""``component.xml``: the top level as an IP core in IP-XACT (IEEE 1685-2009), as Vivado has it."""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree import ElementTree as ET

from ..registers import ADDRESS_WIDTH
from .ports import Interface, Port

__all__ = ["LIBRARY", "VENDOR", "component_xml"]

VENDOR, LIBRARY, _VERSION = "trilobite", "ip", "1.0"
_SPIRIT = "http://www.spiritconsortium.org/XMLSchema/SPIRIT/1685-2009"
_XILINX = "http://www.xilinx.com"
_REGISTERS = "registers"
# Name, language, environment and set of files of each view.
_VIEWS = (("xilinx_anylanguagesynthesis", ":vivado.xilinx.com:synthesis", "synthesis"),
          ("xilinx_anylanguagebehavioralsimulation", ":vivado.xilinx.com:simulation",
           "simulation"))


def component_xml(module: str, interfaces: list[Interface], sources: list[str]) -> bytes:
    """The description of the module called ``module``.

    ``sources`` are its Verilog files, named relative to the folder of the description, the top
    level last.
    """
    ET.register_namespace("spirit", _SPIRIT)
    ET.register_namespace("xilinx", _XILINX)
    root = ET.Element(f"{{{_SPIRIT}}}component")
    for tag, text in (("vendor", VENDOR), ("library", LIBRARY), ("name", module),
                      ("version", _VERSION)):
        _add(root, tag, text)
    buses = _add(root, "busInterfaces")
    for interface in interfaces:
        _bus(buses, interface)
    _spaces(root, [interface for interface in interfaces if interface.is_memory])
    _registers(root)
    _model(root, module, [port for interface in interfaces for port in interface.ports])
    _files(root, sources)
    _add(root, "description", "A decoder of ternary language models")
    parameter = _add(_add(root, "parameters"), "parameter")
    _add(parameter, "name", "Component_Name")
    _add(parameter, "value", module, resolve="user", id="PARAM_VALUE.Component_Name",
         order="1")
    _extensions(root)
    ET.indent(root)
    return ET.tostring(root, encoding="UTF-8", xml_declaration=True) + b"\n"


def _add(parent: ET.Element, tag: str, text: str | None = None, **attributes: str) -> ET.Element:
    """A child in the namespace of IP-XACT, and so are its attributes."""
    child = ET.SubElement(parent, f"{{{_SPIRIT}}}{tag}",
                          {f"{{{_SPIRIT}}}{name}": value for name, value in attributes.items()})
    child.text = text
    return child


def _bus(parent: ET.Element, interface: Interface) -> None:
    vendor, library, name, version = interface.bus.split(":")
    bus = _add(parent, "busInterface")
    _add(bus, "name", interface.name)
    _add(bus, "busType", vendor=vendor, library=library, name=name, version=version)
    _add(bus, "abstractionType", vendor=vendor, library=library, name=f"{name}_rtl",
         version=version)
    kind = _add(bus, "master" if interface.master else "slave")
    if interface.is_memory:
        _add(kind, "addressSpaceRef", addressSpaceRef=interface.name)
    elif interface.parameters.get("PROTOCOL"):
        _add(kind, "memoryMapRef", memoryMapRef=_REGISTERS)
    maps = _add(bus, "portMaps")
    for port in interface.ports:
        pair = _add(maps, "portMap")
        _add(_add(pair, "logicalPort"), "name", port.logical)
        _add(_add(pair, "physicalPort"), "name", port.name)
    parameters = _add(bus, "parameters")
    for key, value in interface.parameters.items():
        parameter = _add(parameters, "parameter")
        _add(parameter, "name", key)
        _add(parameter, "value", str(value),
             id=f"BUSIFPARAM_VALUE.{interface.name.upper()}.{key}")


def _spaces(root: ET.Element, memory: list[Interface]) -> None:
    spaces = _add(root, "addressSpaces")
    for interface in memory:
        space = _add(spaces, "addressSpace")
        _add(space, "name", interface.name)
        _add(space, "range", str(1 << int(interface.parameters["ADDR_WIDTH"])))
        _add(space, "width", str(interface.parameters["DATA_WIDTH"]))


def _registers(root: ET.Element) -> None:
    block_map = _add(_add(root, "memoryMaps"), "memoryMap")
    _add(block_map, "name", _REGISTERS)
    block = _add(block_map, "addressBlock")
    for tag, text in (("name", "Reg"), ("baseAddress", "0"), ("range", str(1 << ADDRESS_WIDTH)),
                      ("width", "32"), ("usage", "register")):
        _add(block, tag, text)


def _model(root: ET.Element, module: str, ports: Iterable[Port]) -> None:
    model = _add(root, "model")
    views = _add(model, "views")
    for name, environment, files in _VIEWS:
        view = _add(views, "view")
        _add(view, "name", name)
        _add(view, "envIdentifier", environment)
        _add(view, "language", "Verilog")
        _add(view, "modelName", module)
        _add(_add(view, "fileSetRef"), "localName", files)
    listed = _add(model, "ports")
    for port in ports:
        one = _add(listed, "port")
        _add(one, "name", port.name)
        wire = _add(one, "wire")
        _add(wire, "direction", "in" if port.input else "out")
        if port.width > 1:
            vector = _add(wire, "vector")
            _add(vector, "left", str(port.width - 1))
            _add(vector, "right", "0")
        kinds = _add(_add(wire, "wireTypeDefs"), "wireTypeDef")
        _add(kinds, "typeName", "wire")
        for name, _, _ in _VIEWS:
            _add(kinds, "viewNameRef", name)


def _files(root: ET.Element, sources: list[str]) -> None:
    sets = _add(root, "fileSets")
    for _, _, name in _VIEWS:
        file_set = _add(sets, "fileSet")
        _add(file_set, "name", name)
        for source in sources:
            file = _add(file_set, "file")
            _add(file, "name", source)
            _add(file, "fileType", "verilogSource")


def _extensions(root: ET.Element) -> None:
    """What Vivado's catalogue wants to know of a core."""
    core = ET.SubElement(_add(root, "vendorExtensions"), f"{{{_XILINX}}}coreExtensions")
    families = ET.SubElement(core, f"{{{_XILINX}}}supportedFamilies")
    family = ET.SubElement(families, f"{{{_XILINX}}}family",
                           {f"{{{_XILINX}}}lifeCycle": "Production"})
    family.text = "zynquplus"
    taxonomy = ET.SubElement(ET.SubElement(core, f"{{{_XILINX}}}taxonomies"),
                             f"{{{_XILINX}}}taxonomy")
    taxonomy.text = "/UserIP"
    for tag, text in (("displayName", "Trilobite accelerator"), ("coreRevision", "1")):
        ET.SubElement(core, f"{{{_XILINX}}}{tag}").text = text
