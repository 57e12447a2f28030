"""What a demo checkpoint becomes, as hashes: on every CPU the same."""

import hashlib
import tempfile
from pathlib import Path

import trilobite

PROMPT = list(range(1, 48))
FORMATS = {"demo-bitnet": ["ternary"], "demo-llama": ["int4", "int8", "fp8"]}


def results():
    """SHA-256 of the files, and of 47 tokens' logits, for each checkpoint and format."""
    found = {}
    for name, formats in FORMATS.items():
        for form in formats:
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder) / form
                trilobite.quantize(name, out, form)
                weights = b"".join(p.read_bytes() for p in sorted(out.glob("*.safetensors")))
                logits = trilobite.load(out).logits(PROMPT)
            found[f"{name} {form}, files"] = hashlib.sha256(weights).hexdigest()
            found[f"{name} {form}, logits"] = hashlib.sha256(logits.tobytes()).hexdigest()
    return found
