"""A GGUF file under another architecture's name."""

from pathlib import Path

from trilobite.quant.checkpoint.gguf import GgufFile
from trilobite.quant.export.gguf_writer import GgufEntry, GgufWriter, Unsigned


def rename(source: Path, target: Path, architecture: str = "bitnet") -> Path:
    """Copy ``source`` with its architecture, and the keys that begin with it, renamed."""
    with GgufFile(source) as file:
        old = file.metadata["general.architecture"]
        metadata = {
            key.replace(f"{old}.", f"{architecture}.", 1) if key.startswith(f"{old}.") else key:
            _as_written(value)
            for key, value in file.metadata.items()
        }
        metadata["general.architecture"] = architecture
        entries = {
            name: GgufEntry(tensor.type.name, tensor.shape) for name, tensor in file.tensors.items()
        }
        target.touch()
        with GgufWriter(target, metadata, entries) as writer:
            for name in entries:
                writer.append(name, file.rows(name))
    return target


def _as_written(value):
    if isinstance(value, int) and not isinstance(value, bool):
        return Unsigned(value)
    return value.tolist() if hasattr(value, "tolist") else value
