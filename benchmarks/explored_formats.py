"""Perplexity of what ``trilobite explore`` compares: weights in each format, int8 or int4 cache.

    python benchmarks/explored_formats.py            # writes sim/explore/perplexities.toml: minutes
    python benchmarks/explored_formats.py --model my-model -o mine.toml   # explore --perplexities

Every row is measured as in ``benchmarks/quality.py``: plain rounding, int8 (or FP8) activations,
the model's whole held-out text.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import trilobite
from trilobite.sim.explore import FORMATS

_TARGET = Path(trilobite.__file__).parent / "sim" / "explore" / "perplexities.toml"
_CACHES = ("int8", "int4")


def measure(source: str) -> tuple[int, list[tuple[str, str, float]]]:
    """Tokens that are predicted, and (format, cache, perplexity) of each row."""
    found, tokens = [], 0
    for form in FORMATS:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "quantized"
            trilobite.quantize(source, path, format=form)
            for cache in _CACHES:
                model = trilobite.load(path, kv=cache)
                result = model.perplexity_of_tokens(model.held_out_tokens())
                found.append((form, cache, result.value))
                tokens = result.tokens
    return tokens, found


def page(models: list[str]) -> str:
    """The file."""
    lines = ["# Perplexity by format of weights and of the cache, measured by the runtime:",
             "#", f"#     python benchmarks/explored_formats.py --model {' '.join(models)}", ""]
    for source in models:
        tokens, rows = measure(source)
        lines += ["[[model]]", f'name = "{Path(source).name}"', f"tokens = {tokens}", "rows = ["]
        lines += [f'    {{ format = "{form}", cache = "{cache}", perplexity = {value:.3f} }},'
                  for form, cache, value in rows]
        lines += ["]", ""]
    return "\n".join(lines[:-1]) + "\n"


def main() -> None:
    """Measure, then write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", nargs="+", default=["demo-bitnet", "demo-llama"])
    parser.add_argument("-o", "--output", type=Path, default=_TARGET)
    arguments = parser.parse_args()
    arguments.output.write_text(page(arguments.model), encoding="utf-8")


if __name__ == "__main__":
    main()
