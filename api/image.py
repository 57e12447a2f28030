"""A model as an accelerator's memory, in a folder that a board's host can load."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import TrilobiteError
from ..fpga.accelerator_parameters import AcceleratorParameters
from ..fpga.compiler import compile_model
from ..fpga.image import Image, image_of
from ..fpga.image_file import write_image
from ..quant.checkpoint import Checkpoint, open_checkpoint
from ..sim.descriptions.accelerator import load_accelerator
from ..tools.progress import SILENT, Progress
from ..tools.scratch import scratch_folder
from .ternary import ternary_copy

__all__ = ["WrittenImage", "compiled_image", "image", "image_name", "tokenizer_files"]

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True)
class WrittenImage:
    """An image in ``folder``: bytes that are loaded, of memory in all, and tokens of room."""

    folder: Path
    hardware: str
    configuration: str
    loaded_bytes: int
    memory_bytes: int
    capacity: int
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {"folder": str(self.folder), "hardware": self.hardware,
                "configuration": self.configuration, "loaded_bytes": self.loaded_bytes,
                "memory_bytes": self.memory_bytes, "capacity": self.capacity}


def image(
    model: str | Path, out: str | Path, hardware: str = "demo", context: int | None = None,
    overwrite: bool = False, progress: Progress = SILENT,
) -> WrittenImage:
    """Compile a ternary model for an accelerator, and write its memory with the tokenizer.

    Parameters
    ----------
    model
        A ternary model's folder, or master weights that were trained ternary.
    out
        The folder to write; it appears only when it is complete.
    hardware
        An accelerator by name, or a .toml file.
    context
        Tokens of prompt and output together; None takes what model and accelerator have room for.
    overwrite
        Replace a folder that Trilobite wrote.
    progress
        Is told what is done.

    Raises
    ------
    TrilobiteError
        The model is not ternary, or the accelerator cannot run it or so many tokens.
    OutputError
        ``out`` exists or cannot be written; nothing is left behind.
    """
    parameters = load_accelerator(hardware).whole()
    progress.doing("Compiling the model")
    with scratch_folder() as scratch:
        folder, warnings = ternary_copy(str(model), scratch / "model", "compiled")
        with open_checkpoint(folder) as checkpoint:
            compiled = compiled_image(checkpoint, image_name(model), parameters, context)
            texts = tokenizer_files(checkpoint)
        target = Path(out)
        write_image(compiled, target, __version__, texts, overwrite)
    loaded = sum(map(len, compiled.contents.values()))
    return WrittenImage(target, hardware, f"{compiled.configuration:016x}", loaded,
                        compiled.nbytes, compiled.capacity,
                        warnings)


def image_name(model: str | Path) -> str:
    """What an image of a model is called."""
    name = Path(model).name or str(model)
    return "".join(letter if letter.isprintable() else "?" for letter in name)[:100] or "model"


def tokenizer_files(checkpoint: Checkpoint) -> dict[str, bytes]:
    """What an image has of a model's tokenizer, by name."""
    return {name: content for name, content in checkpoint.companions().items()
            if name in _TOKENIZER_FILES}


def compiled_image(checkpoint: Checkpoint, name: str, parameters: AcceleratorParameters,
                   context: int | None) -> Image:
    """The image of a ternary model, with room for ``context`` tokens; None: for as many as fit."""
    positions = checkpoint.config.max_position_embeddings
    capacity = min(positions, parameters.max_context) if context is None else context
    if capacity < 1 or positions < capacity <= parameters.max_context:
        raise TrilobiteError(f"The context must be from 1 to {positions} tokens, the model's "
                             f"positions, not {capacity}")
    program = compile_model(checkpoint.config, checkpoint.weight, parameters, capacity)
    return image_of(program, name, capacity)
