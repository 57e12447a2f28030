"""Fuzz one reader for as long as you like.

    python tests/fuzz/run.py gguf --seconds 3600
    python tests/fuzz/run.py gguf --file build/fuzz/crash-1234    (again, with its traceback)

Guided by coverage where ``atheris`` is installed (``pip install atheris``), else by mutation alone
(``--plain``). The address space is limited, so that a file which makes a reader take memory is a
finding too. Prints executions and stops at the first finding, kept in ``build/fuzz``.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

# Named here, as whatever is imported before ``atheris`` gives it no coverage.
_TARGETS = ("gguf", "safetensors", "folder", "index", "onnx", "tokenizer", "journal", "device",
            "accelerator", "shape", "run", "requests", "manifest", "image", "serial",
            "vocabulary")
_MEMORY = 3 << 30
_LEAST = 16   # executions, on however slow a machine
_FINDINGS = Path("build/fuzz")
_IN_MEMORY = Path("/dev/shm")   # where Linux keeps files in memory


def mutate(data: bytes, source: random.Random) -> bytes:
    """A few changes such as a damaged or hostile file has."""
    mutated = bytearray(data)
    for _ in range(source.choice((1, 1, 2, 4, 8))):
        at = min(int(len(mutated) * source.random() ** 3), max(0, len(mutated) - 8))
        kind = source.randrange(6)
        if kind == 0:
            mutated[at : at + 1] = bytes([source.randrange(256)])
        elif kind == 1:
            extreme = source.choice((0, 1, 2**31, 2**32 - 1, 2**62, 2**63, 2**64 - 1, 1 << 40))
            width = source.choice((4, 8))
            mutated[at : at + width] = (extreme % (1 << 8 * width)).to_bytes(width, "little")
        elif kind == 2:
            del mutated[at : at + source.randrange(1, 64)]
        elif kind == 3:
            mutated[at:at] = mutated[at : at + source.randrange(1, 64)]
        elif kind == 4:
            del mutated[source.randrange(len(mutated) + 1) :]
        elif digits := [i for i, byte in enumerate(mutated[:8192]) if 48 <= byte < 58]:
            place = source.choice(digits)   # a number in JSON
            mutated[place : place + 1] = source.choice((b"-1", b"0", b"999999999999", b"1e9", b"."))
    return bytes(mutated)


def run_plain(target: str, seeds: list[bytes], seconds: float, scratch: Path, seed: int) -> int:
    """Mutate ``seeds`` for ``seconds``, at least ``_LEAST`` times; how many inputs were tried."""
    from fuzz.targets import MUTATORS, TARGETS

    source = random.Random(seed)
    changes = [mutate, MUTATORS.get(target, mutate)]
    end = time.monotonic() + seconds
    shown = time.monotonic()
    executions = 0
    while time.monotonic() < end or executions < _LEAST:
        data = source.choice(changes)(source.choice(seeds), source)
        try:
            TARGETS[target](data, scratch)
        except BaseException:
            _keep(data)
            raise
        executions += 1
        if time.monotonic() - shown > 60:
            shown = time.monotonic()
            print(f"{target}: {executions} executions", flush=True)
    return executions


def _keep(data: bytes) -> None:
    path = _FINDINGS / f"crash-{hashlib.sha256(data).hexdigest()[:12]}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    print(f"Kept as {path}", flush=True)


def run_guided(target: str, seeds: list[bytes], seconds: int, scratch: Path) -> None:
    """Let libFuzzer search, through atheris."""
    import atheris

    with atheris.instrument_imports(include=["trilobite"]):
        from fuzz.targets import MUTATORS, TARGETS
    corpus = scratch / "corpus"
    corpus.mkdir()
    for number, data in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(data)
    inputs = scratch / "inputs"
    inputs.mkdir()
    _FINDINGS.mkdir(parents=True, exist_ok=True)
    arguments = [sys.argv[0], str(corpus), f"-max_total_time={seconds}", "-timeout=600",
                 f"-rss_limit_mb={_MEMORY >> 20}", "-max_len=400000", "-print_final_stats=1",
                 f"-artifact_prefix={_FINDINGS}/"]

    def change(data: bytes, size: int, seed: int) -> bytes:
        source = random.Random(seed)
        if source.randrange(2):
            changed = MUTATORS[target](data, source)
            if len(changed) <= size:
                return changed
        return atheris.Mutate(data, size)

    mutator = {"custom_mutator": change} if target in MUTATORS else {}
    atheris.Setup(arguments, lambda data: TARGETS[target](data, inputs), **mutator)
    atheris.Fuzz()


def main() -> None:
    """Read the arguments and fuzz."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("target", choices=_TARGETS)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plain", action="store_true", help="without atheris")
    parser.add_argument("--file", type=Path, help="run this input only")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=_files_folder()) as name:
        scratch, seeds_folder = Path(name), Path(name) / "seeds"
        seeds_folder.mkdir()
        if options.file:
            from fuzz.targets import TARGETS

            TARGETS[options.target](options.file.read_bytes(), scratch)
            return
        if options.plain:
            from fuzz.targets import SEEDS

            resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
            seeds = SEEDS[options.target](seeds_folder)
            inputs = scratch / "inputs"
            inputs.mkdir()
            count = run_plain(options.target, seeds, options.seconds, inputs, options.seed)
            print(f"{options.target}: {count} executions, no finding")
            return
        run_guided(options.target, _seeds_apart(options.target, seeds_folder), options.seconds,
                   scratch)


def _files_folder() -> Path | None:
    """Where inputs are written: writing one to a disk takes 20 times as long as reading it."""
    return _IN_MEMORY if os.access(_IN_MEMORY, os.W_OK) else None


def _seeds_apart(target: str, folder: Path) -> list[bytes]:
    """Seeds made by another process: what is imported here first would not be instrumented."""
    import pickle
    import subprocess

    tests = Path(__file__).parents[1]
    code = ("import pickle, sys; from pathlib import Path; from fuzz.targets import SEEDS; "
            "sys.stdout.buffer.write(pickle.dumps(SEEDS[sys.argv[1]](Path(sys.argv[2]))))")
    made = subprocess.run([sys.executable, "-c", code, target, str(folder)], cwd=tests, check=True,
                          capture_output=True)
    return pickle.loads(made.stdout)


if __name__ == "__main__":
    main()
