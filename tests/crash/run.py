"""Strike commands at random moments, as often as you like.

    python tests/crash/run.py kill --count 100              # SIGKILL: the next run is as the first
    python tests/crash/run.py disk quantize-rtn export-gguf # the disk is full from then on
    python tests/crash/run.py interrupt --seed 7            # Ctrl-C; says how long each took to end

After a kill the same command must write the same bytes as without, and nothing of the killed one
may be left: no unfinished file, no folder, no process. After a full disk and Ctrl-C the output is
there and whole, or not there, at once. Prints a line for each job and stops at the first finding.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from crash.jobs import JOBS, write_inputs
from crash.strike import STRIKES, Ended, Place, attempt, survivors

_SECONDS = 20.0   # in which a long command is struck
_CODES = {"kill": {-9}, "disk": {2}, "interrupt": {130}}   # beside 0


class FindingError(Exception):
    """Something is left, or is not as it should be."""


class Trial:
    """One job, struck again and again, in folders of its own in ``folder``."""

    def __init__(self, name: str, folder: Path, inputs: Path, cache: Path) -> None:
        self.job, self._folder, self._inputs, self._cache = JOBS[name], folder / name, inputs, cache
        self._number = 0
        place = self._place()
        self.before = self.whole = content(place.work)
        self.seconds = _SECONDS
        if not self.job.long:
            self._attempted(place, None)   # compiles kernels, and what builds share
            self._remove(place)
            place = self._place()
            ended = self._attempted(place, None)
            self.seconds, self.whole = ended.seconds, content(place.work)
        self._remove(place)

    def strike(self, kind: str, moment: float) -> Ended:
        """Strike once, ``moment`` seconds after the start; raises ``FindingError``."""
        place = self._place()
        ended = self._attempted(place, kind, moment)
        if left := survivors(place):
            raise FindingError(f"runs still: {left}")
        if kind != "kill":
            self._check(place, ended, at_once=True)
        if not self.job.long:
            if ended.code != 0 and not self._done(place):
                self._attempted(place, None)
            self._check(place, ended)
        self._remove(place)
        return ended

    def _place(self) -> Place:
        self._number += 1
        place = Place(self._folder / str(self._number), self.job)
        place.make(self._cache)
        if self.job.replaces:
            place.out.mkdir()
            (place.out / "manifest.json").write_text('{"trilobite_version": "0"}')
        return place

    def _remove(self, place: Place) -> None:
        for shared in (place.root / "cache" / "sim").glob("verilator-runtime-*"):
            if not (self._cache / "sim" / shared.name).exists():
                shared.rename(self._cache / "sim" / shared.name)
        shutil.rmtree(place.root)

    def _attempted(self, place: Place, kind: str | None, moment: float | None = None) -> Ended:
        ended = attempt(place, self._inputs, moment, STRIKES[kind] if kind else None)
        allowed = {0} | (_CODES[kind] if kind and ended.struck else set())
        if ended.code not in allowed or "Traceback" in ended.said:
            raise FindingError(f"ended with {ended.code}: {ended.said[-2000:]}")
        return ended

    def _done(self, place: Place) -> bool:
        """Whether it was struck after its output had appeared, which is not written again."""
        return not self.job.replaces and place.out.exists()

    def _check(self, place: Place, ended: Ended, at_once: bool = False) -> None:
        """The output is whole, or (``at_once``) as it was before; nothing else is left."""
        if left := place.left():
            raise FindingError(f"left behind: {left}; {ended}")
        found = content(place.work)
        if at_once and ended.code != 0:
            if found not in (self.before, self.whole):
                raise FindingError(f"half an output: {sorted(found)}; {ended}")
        elif self.job.exact and found != self.whole:
            raise FindingError(f"other bytes than without being struck: {sorted(found)}; {ended}")
        elif found.keys() != self.whole.keys():
            raise FindingError(f"no output: {sorted(found)}; {ended}")


def content(folder: Path) -> dict[str, bytes | None]:
    """Bytes of all files in a folder, and None for each folder."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
            for path in sorted(folder.rglob("*"))}


def strike_all(kind: str, names: list[str], count: int, seed: int, folder: Path) -> None:
    """``count`` strikes of each job, and a line for each; raises ``FindingError``."""
    inputs, cache = folder / "inputs", folder / "cache"
    inputs.mkdir()
    for name in ("sim", "compiled"):
        (cache / name).mkdir(parents=True, mode=0o700)
    write_inputs(inputs)
    for name in names:
        trial, chance = Trial(name, folder, inputs, cache), random.Random(f"{seed} {name}")
        ends = []
        for number in range(count):
            moment = chance.random() * trial.seconds
            try:
                ends.append(trial.strike(kind, moment))
            except FindingError as finding:
                raise FindingError(f"{name}, strike {number} after {moment:.3f} of "
                                   f"{trial.seconds:.3f} s: {finding}") from None
        hit = [ended for ended in ends if ended.struck]
        done = sum(ended.code == 0 for ended in hit)
        taken = [ended.seconds for ended in hit] or [0.0]
        print(f"{name}: {len(hit)} of {count} struck in {trial.seconds:.2f} s, {done} of them were "
              f"done all the same; ended after {statistics.median(taken):.2f} s, at most "
              f"{max(taken):.2f} s", flush=True)


def main() -> None:
    """Strike, and exit with 1 at the first finding."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("strike", choices=list(STRIKES))
    parser.add_argument("jobs", nargs="*", default=list(JOBS), metavar="JOB")
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    import trilobite.__main__
    import trilobite.api.explore_checks
    import trilobite.api.export
    import trilobite.api.models
    import trilobite.api.synth
    import trilobite.api.verify
    import trilobite.cli
    import trilobite.quant.onnx.quantize  # noqa: F401 - every process that is forked has them

    with tempfile.TemporaryDirectory(prefix="crash-") as folder:
        try:
            strike_all(options.strike, options.jobs, options.count, options.seed, Path(folder))
        except FindingError as finding:
            sys.exit(f"Finding: {finding}")


if __name__ == "__main__":
    main()
