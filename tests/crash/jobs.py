"""The commands that are struck: what each is given, and what it leaves when it is done.

A command that is to be struck too is one more line of ``JOBS``.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["JOBS", "Job", "write_inputs"]


@dataclass(frozen=True)
class Job:
    """A command: ``words``, of which ``{in}`` is the folder of inputs and ``{out}`` the output.

    ``output``: the name of what it writes, None where it only prints. ``exact``: a second run
    writes the same bytes. ``replaces``: the output is there before. ``long``: it is not run to its
    end, but struck within the first seconds. ``shorten`` makes it do less, in its process.
    """

    words: str
    output: str | None = None
    exact: bool = True
    replaces: bool = False
    long: bool = False
    shorten: Callable[[], None] = lambda: None

    def command(self, inputs: Path, out: Path) -> list[str]:
        """The arguments of ``trilobite``."""
        return [word.format(out=out, **{"in": inputs}) for word in self.words.split()]


def write_inputs(folder: Path) -> None:
    """What the jobs read: a tiny model, the same in ternary, an ONNX model, a small engine."""
    import onnx

    from support.llama_folder import write_llama
    from support.onnx_graphs import perceptron
    from support.small_engine import write_small_engine
    from trilobite.quant.checkpoint.files.locate import resolve
    from trilobite.quant.pipeline import quantize

    demo = resolve("demo-llama")
    write_llama(folder / "model", vocab_size=1024)
    for name in ("tokenizer.json", "tokenizer_config.json", "training.json"):
        shutil.copy(demo / name, folder / "model")
    quantize(folder / "model", folder / "ternary", "ternary")
    onnx.save(perceptron(), folder / "model.onnx")
    write_small_engine(folder)
    (folder / "text.txt").write_text("def f(x):\n    return x\n" * 40)


def _measure_less() -> None:
    """Measure this machine in a fraction of the time, and not well."""
    from trilobite.sim.this_machine import calibrate, calibrate_layers

    calibrate._READ_BYTES, calibrate._COLD_BYTES, calibrate._ROUNDS = 1 << 22, 1 << 20, 2
    calibrate._SHAPE, calibrate._SECOND = (256, 256), (128, 128)
    calibrate_layers._ROUNDS = 2


_TEXT = " --calibration {in}/text.txt"
_QUANTIZE = "quantize {in}/model -o {out} --format "
_SIMULATE = "verify engine {in}/ternary --tokens 1 --hardware {in}/small.toml --simulator "

JOBS: dict[str, Job] = {
    "quantize-rtn": Job(_QUANTIZE + "int4,group_size=32", "out"),
    "quantize-gptq": Job(_QUANTIZE + "int4,group_size=32 --method gptq" + _TEXT, "out"),
    "quantize-awq": Job(_QUANTIZE + "int4,group_size=32 --method awq" + _TEXT, "out"),
    "quantize-itf": Job(_QUANTIZE + "ternary-group,group_size=32 --method itf" + _TEXT, "out"),
    "quantize-cas": Job(_QUANTIZE + "int4-fp8,group_size=32 --method cas", "out"),
    "quantize-bits": Job("quantize {in}/model -o {out} --target-bpw 5", "out"),
    "quantize-overwrite": Job(_QUANTIZE + "int8 --overwrite", "out", replaces=True),
    "quantize-onnx": Job("quantize {in}/model.onnx -o {out} --format int8", "out.onnx"),
    "export-gguf": Job("export {in}/model --to gguf -o {out}", "out.gguf"),
    "export-hf": Job("export {in}/model --to hf -o {out}", "out"),
    "export-onnx": Job("export {in}/model --to onnx -o {out}", "out"),
    "export-hex": Job("export {in}/ternary --to hex -o {out}", "out"),
    "calibrate": Job("calibrate -o {out}", "out.toml", exact=False, shorten=_measure_less),
    "calibrate-kv": Job("calibrate-kv {in}/model -o {out}" + _TEXT, "out.safetensors"),
    "verify-icarus": Job(_SIMULATE + "icarus"),
    "verify-verilator": Job(_SIMULATE + "verilator"),
    "synth": Job("synth --device kv260 --block counters"),
    "generate": Job("generate demo-bitnet -p x -n 900", long=True),
    "evaluate": Job("evaluate demo-llama", long=True),
    "bench": Job("bench demo-bitnet", long=True),
    "serve-sim": Job("serve-sim bitnet-0.73b --requests 100000", long=True),
    "explore": Job("explore bitnet-0.73b --points 1000000", long=True),
    "explore-check": Job("explore bitnet-0.73b --points 1000 --check 1", long=True),
    "estimate-simulate": Job("estimate demo-bitnet --simulate", long=True),
    "verify-decoder": Job("verify decoder demo-bitnet", long=True),
    "verify-shape": Job("verify shape bitnet-0.73b", long=True),
    "calibrate-whole": Job("calibrate -o {out}", "out.toml", long=True),
}
