import subprocess
import threading

import pytest

from support.probes import Register
from trilobite.errors import ToolError
from trilobite.sim.verify.bench import build, simulators
from trilobite.sim.verify.bench.design import VerilogModule
from trilobite.sim.verify.bench.simulators import SIMULATORS, Verilator
from trilobite.tools.cache import cache_folder
from trilobite.tools.programs import package_folder, run_program


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TRILOBITE_CACHE", str(tmp_path))
    return tmp_path / "sim"


@pytest.fixture
def compilations(monkeypatch):
    """Stand in for Verilator's compilation; the list of folders it was asked to build in."""
    folders = []

    def compile_nothing(self, design, folder, wave_suffix):
        folders.append(folder)
        (folder / "design.v").write_text(design.verilog)
        (folder / "simulator").write_text("")

    monkeypatch.setattr(Verilator, "compile", compile_nothing)
    return folders


def test_the_same_design_is_built_once(cache, compilations):
    first, second = build(Register(), "register"), build(Register(), "register")
    assert first.folder == second.folder
    assert len(compilations) == 1
    assert sorted(path.name for path in first.folder.iterdir()) == ["design.v", "simulator"]


def test_another_design_name_or_wave_format_is_another_build(cache, compilations):
    builds = [build(Register(), "register"), build(Register(fault="lost"), "register"),
              build(Register(), "buffer"), build(Register(), "register", wave_suffix=".vcd")]
    assert len({each.folder for each in builds}) == len(compilations) == 4


def test_other_options_are_another_build(cache, compilations, monkeypatch):
    first = build(Register(), "register")
    monkeypatch.setattr(Verilator, "options", (*Verilator.options, "--trace-depth", "1"))
    assert build(Register(), "register").folder != first.folder


def test_a_failed_build_leaves_nothing_and_says_why(cache, monkeypatch):
    monkeypatch.setattr(Verilator, "options", (*Verilator.options, "--no-such-option"))
    with pytest.raises(ToolError, match=r"(?s)Verilating register failed.*no-such-option"):
        build(Register(), "register")
    assert {path.suffix for path in cache.iterdir()} == {".lock"}


def test_verilators_headers_are_not_read_again(tmp_path, monkeypatch):
    compiler = subprocess.run(["c++", "--version"], capture_output=True, text=True, check=True)
    if "Free Software Foundation" not in compiler.stdout:
        pytest.skip("headers are compiled with GCC alone")
    printed = []
    monkeypatch.setattr(simulators, "run_program",
                        lambda *arguments: printed.append(run_program(*arguments)))
    Verilator().compile(VerilogModule.elaborate(Register(), "register"), tmp_path, None)
    said = printed[-1]
    assert said.count("-include precompiled.h") == 2   # what drives the model, and the model
    assert "not used because" not in said   # GCC's warning of headers that do not fit


def test_builds_at_the_same_time_share_one_compilation(cache, compilations):
    threads = [threading.Thread(target=build, args=(Register(), "register")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(compilations) == 1


def test_only_ports_are_public():
    design = VerilogModule.elaborate(Register(), "register")
    assert Verilator()._public_ports(design).splitlines() == [
        "`verilator_config",
        *(f'public_flat_rw -module "register" -var "{port}"'
          for port in ("clk", "rst", "i__payload", "i__valid", "o__ready")),
        *(f'public_flat_rd -module "register" -var "{port}"'
          for port in ("i__ready", "o__payload", "o__valid")),
    ]


@pytest.mark.parametrize(("simulator", "package"), [("verilator", r"g\+\+"),
                                                    ("icarus", "iverilog")])
def test_a_missing_program_is_named_with_its_package(simulator, package, cache, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ToolError, match=f"is not on PATH.*apt-get install {package}"):
        build(Register(), "register", simulator)


def test_a_missing_package_is_named_with_its_extra():
    with pytest.raises(ToolError, match=r"'no_such_simulator'.*pip install 'trilobite\[rtl\]'"):
        package_folder("no_such_simulator")


def test_a_missing_header_is_named_with_its_package():
    with pytest.raises(ToolError, match=r"no_such.h;.*apt-get install libsuch-dev. A .vcd file"):
        Verilator._require_header("no_such.h", "libsuch-dev")
    Verilator._require_header("stdio.h", "libc6-dev")


def test_unknown_simulators_and_waves_are_refused():
    with pytest.raises(ToolError, match="'modelsim' is unknown; known are"):
        build(Register(), "register", "modelsim")
    with pytest.raises(ToolError, match=r"icarus cannot write '.vcd' waves; it writes .fst"):
        build(Register(), "register", "icarus", ".vcd")


def test_the_cache_is_the_users_unless_chosen(monkeypatch, tmp_path):
    monkeypatch.delenv("TRILOBITE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder("sim") == tmp_path / "trilobite" / "sim"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder("sim") == tmp_path / ".cache" / "trilobite" / "sim"


def test_every_simulator_is_registered_under_its_name():
    assert {name: simulator.name for name, simulator in SIMULATORS.items()} == {
        "verilator": "verilator", "icarus": "icarus"}
