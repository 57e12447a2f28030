"""Packages that add to this one, installed into a folder as an installer would, without one."""

import shutil
import tomllib
from pathlib import Path

import trilobite

EXAMPLE = Path(__file__).parent / "example_plugin"
DEVICES = Path(trilobite.__file__).parent / "sim" / "descriptions" / "devices"


def install(site, source=EXAMPLE):
    """Copy the modules of the project in ``source`` to ``site``, and write its metadata."""
    project = tomllib.loads((source / "pyproject.toml").read_text())["project"]
    for package in source.iterdir():
        if package.is_dir():
            shutil.copytree(package, site / package.name, dirs_exist_ok=True)
    write_metadata(site, project["name"], project["version"], project["entry-points"])
    return site


def install_example(site):
    """Install the example, with a board like the KV260 that has half of its bandwidth."""
    install(site)
    board = (DEVICES / "kv260.toml").read_text().replace('name = "', 'name = "Example of ', 1)
    (site / "trilobite_example" / "devices" / "example-board.toml").write_text(board)
    return site


def write_metadata(site, name, version, groups):
    """A .dist-info with the entry points ``groups``."""
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = []
    for group, entries in groups.items():
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return info


def write_plugin(site, name, groups, **modules):
    """A package ``name`` of one folder of the same name, with ``modules`` and entry points."""
    folder = site / name
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    for module, text in modules.items():
        (folder / f"{module}.py").write_text(text)
    write_metadata(site, name, "0.1", groups)
