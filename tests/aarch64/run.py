"""Run tests of the software on an emulated ARM CPU: ``python tests/aarch64/run.py [ARGUMENT ...]``.

A Debian for arm64 is set up in ``build/aarch64`` once: its packages are unpacked, not configured,
and wheels for aarch64 are unpacked into its Python, so that nothing but the tests is emulated.
``ARGUMENT`` are pytest's; without any, the kernels' and numerics' tests run, and the demo
checkpoints are quantized and give logits here and there: the same bytes. ``--cpu`` names the CPU,
by qemu's and LLVM's common name.

It needs root, for chroot, and Debian's ``debootstrap`` and ``qemu-user-static``, the latter
registered for aarch64 programs (``binfmt_misc``): tests start processes of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = REPOSITORY / "build" / "aarch64"
ROOT = FOLDER / "root"
SUITE, PYTHON = "bookworm", "3.11"
EMULATOR = "qemu-aarch64-static"
CHROOT = "/usr/sbin/chroot"
BINFMT = Path("/proc/sys/fs/binfmt_misc/qemu-aarch64")
PACKAGES = "python3,libpython3-stdlib,libgomp1"
TEST_PACKAGES = ["pytest", "hypothesis"]
PLATFORMS = ["manylinux_2_17", "manylinux2014", "manylinux_2_27", "manylinux_2_28"]
# What compares with torch or transformers is left out: they are not there.
DEFAULT = ["tests/runtime/kernels", "--ignore=tests/runtime/kernels/attention/test_sinks.py",
           "tests/numerics/test_numerics.py", "tests/aarch64/test_same_bytes.py"]


def main() -> int:
    """Set up what is missing, copy the sources, run pytest; its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cpu", default="cortex-a76", help="for example cortex-a72, neoverse-n2")
    parser.add_argument("pytest", nargs="*", help="arguments of pytest")
    options, more = parser.parse_known_args()
    check_host()
    if not (FOLDER / "ready").exists():
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir(parents=True)
        unpack_debian()
        unpack_wheels()
        (FOLDER / "ready").touch()
    copy_sources()
    (FOLDER / "root/src/expected.json").write_text(json.dumps(expected()))
    return emulated(options.cpu, ["python3", "-m", "pytest", "-o", "addopts=", "-ra",
                                  "--import-mode=importlib", "-p", "no:cacheprovider",
                                  *(options.pytest or DEFAULT), *more])


def check_host() -> None:
    """Exit with what is missing."""
    missing = [name for name in ("debootstrap", EMULATOR, "dpkg-deb") if not shutil.which(name)]
    if missing:
        sys.exit(f"{', '.join(missing)} missing: apt-get install debootstrap qemu-user-static")
    if not BINFMT.exists():
        sys.exit(f"{BINFMT} is missing: mount binfmt_misc and install Debian's qemu-user-static, "
                 "which registers it (binfmt-support)")
    if os.geteuid() != 0:
        sys.exit("Only root may chroot: run this with sudo")


def unpack_debian() -> None:
    """Unpack a minimal Debian with Python into ``ROOT``; no program of it is run."""
    run("debootstrap", "--arch=arm64", "--variant=minbase", "--foreign", f"--include={PACKAGES}",
        SUITE, str(ROOT))
    (ROOT / "proc").unlink()   # a link to the host's
    (ROOT / "proc").mkdir()
    for package in sorted((ROOT / "var/cache/apt/archives").glob("*.deb")):
        run("dpkg-deb", "-x", str(package), str(ROOT))


def unpack_wheels() -> None:
    """Unpack wheels of what the base package and the tests need, in this environment's versions."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    wanted = {f"{name}=={number}" for name, number in
              closure([*project["dependencies"], *TEST_PACKAGES]).items()}
    platforms = [f"--platform={name}_aarch64" for name in PLATFORMS]
    run(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
        f"--python-version={PYTHON}", *platforms, "-d", str(FOLDER / "wheels"), *sorted(wanted))
    target = ROOT / f"usr/local/lib/python{PYTHON}/dist-packages"
    for wheel in (FOLDER / "wheels").iterdir():
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(target)


def closure(names: list[str]) -> dict[str, str]:
    """Versions of the installed packages of these names, and of all that they need here."""
    found: dict[str, str] = {}
    waiting = list(names)
    while waiting:
        requirement = waiting.pop()
        name = re.split(r"[^\w.-]", requirement)[0].lower().replace("_", "-")
        if "extra ==" in requirement or name in found:
            continue
        try:
            found[name] = version(name)
        except PackageNotFoundError:   # for another system
            continue
        waiting += requires(name) or []
    return found


def copy_sources() -> None:
    """Copy what git knows and does not ignore, below /src."""
    target = ROOT / "src" / "trilobite"
    shutil.rmtree(target, ignore_errors=True)
    listed = subprocess.run(["git", "ls-files", "-coz", "--exclude-standard"], cwd=REPOSITORY,
                            check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (REPOSITORY / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, target / name)


def expected() -> dict[str, str]:
    """What ``support.same_bytes.results`` gives on this machine."""
    script = "import json; from support.same_bytes import results; print(json.dumps(results()))"
    folders = [str(REPOSITORY.parent), str(REPOSITORY / "tests")]
    answer = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True,
                            text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)})
    return json.loads(answer.stdout)


def emulated(cpu: str, command: list[str]) -> int:
    """The exit code of ``command``, run in ``ROOT`` on an emulated ``cpu``."""
    variables = {
        "HOME": "/tmp", "PATH": "/usr/bin:/bin", "QEMU_CPU": cpu, "NUMBA_CPU_NAME": cpu,
        "PYTHONPATH": "/src:/src/trilobite/tests",
    }
    shell = 'cd /src/trilobite && exec "$@"'
    with mounted("proc"), mounted("dev"):
        return subprocess.run([CHROOT, str(ROOT), "/bin/sh", "-c", shell, "sh", *command],
                              env=variables, check=False).returncode


@contextmanager
def mounted(name: str) -> Iterator[None]:
    """The host's folder of this name in ``ROOT``, as long as the block lasts."""
    run("mount", "--bind", f"/{name}", str(ROOT / name))
    try:
        yield
    finally:
        run("umount", str(ROOT / name))


def run(*command: str) -> None:
    """Run a program; a failure ends this one with its exit code."""
    print("+", " ".join(command[:6]), "..." if len(command) > 6 else "", flush=True)
    subprocess.run(command, check=True)


if __name__ == "__main__":
    sys.exit(main())
