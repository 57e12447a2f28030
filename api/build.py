"""What a board needs to run a model: a bitstream and a memory image."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import ToolError
from ..fpga.boards.bitstream import Bitstream, find_board, make_bitstream
from ..fpga.image_file import write_image
from ..quant.checkpoint import open_checkpoint
from ..quant.output.atomic import OutputFolder, write_synced
from ..sim.descriptions.accelerator import load_accelerator
from ..tools.progress import SILENT, Progress
from ..tools.scratch import scratch_folder
from .image import compiled_image, image_name, tokenizer_files
from .ternary import ternary_copy

__all__ = ["Build", "build"]

_CLOCK = 50   # MHz
_IMAGE = "image"
_RECORD = "manifest.json"   # by which --overwrite knows a folder of ours


@dataclass(frozen=True)
class Build:
    """A board's files in ``folder``, and what the tools say of its bitstream.

    ``files`` has the SHA-256 of each file by name; the folder ``image``, which
    ``fpga.image_file.write_image`` wrote, has its own.
    """

    folder: str
    board: str
    model: str
    hardware: str
    clock: int
    achieved: float
    resources: dict[str, tuple[int, int]]
    path: dict[str, Any]
    tools: tuple[str, ...]
    capacity: int
    image_bytes: int
    files: dict[str, str]
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """JSON values; docs/reference/commands.md has the keys."""
        value = asdict(self)
        del value["warnings"]
        return value


def build(
    model: str | Path, out: str | Path, board: str = "ulx3s-85f", clock: int | None = None,
    capacity: int | None = None, overwrite: bool = False, progress: Progress = SILENT,
) -> Build:
    """Make the bitstream of a board and the memory image of a model for it.

    Parameters
    ----------
    model
        A ternary model's folder, or master weights that were trained ternary, of which a ternary
        copy is taken.
    out
        The folder to write; it appears only when it is complete.
    board
        One of ``fpga.boards.bitstream.BOARDS``.
    clock
        Of the board's logic, in MHz; None takes 50.
    capacity
        Tokens of prompt and output together; None takes as many as model and board have room for.
    overwrite
        Replace what is there.
    progress
        Is told what is done.

    Raises
    ------
    TrilobiteError
        The model is not ternary, or the board's accelerator cannot run it.
    ToolError
        There is no such board or clock, a tool is missing or fails, or the clock is not achieved.
    OutputError
        ``out`` exists or cannot be written; nothing is left behind.
    """
    target, megahertz = find_board(board), _CLOCK if clock is None else clock
    parameters = load_accelerator(target.hardware).whole()
    with scratch_folder() as scratch:
        folder, warnings = ternary_copy(str(model), scratch / "model", "built")
        with open_checkpoint(folder) as checkpoint:
            image = compiled_image(checkpoint, image_name(model), parameters, capacity)
            texts = tokenizer_files(checkpoint)
    with OutputFolder(Path(out), Path(model), image.nbytes, overwrite) as output:
        progress.doing("Making the bitstream")
        made = make_bitstream(target, parameters, megahertz)
        _check_clock(made)
        contents = {f"{board}.bit": made.bit, "nextpnr.log": made.log.encode()}
        result = Build(
            str(out), board, str(model), target.hardware, megahertz, made.achieved,
            made.resources, made.path, made.tools, image.capacity, image.nbytes,
            {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
            warnings)
        record = {"trilobite_version": __version__, **result.to_json()}
        del record["folder"]
        contents[_RECORD] = (json.dumps(record, indent=1) + "\n").encode()
        write_image(image, output.path / _IMAGE, __version__, texts)
        for name, content in contents.items():
            write_synced(output.path / name, content)
        output.commit()
    return result


def _check_clock(made: Bitstream) -> None:
    """Refuse a bitstream that would compute wrong numbers on a slow device."""
    if made.achieved < made.clock:
        lower = [clock for clock in find_board(made.board).clocks if clock <= made.achieved]
        advice = f"; ask for {lower[-1]} MHz or less" if lower else ""
        raise ToolError(
            f"{made.board}: routed, the logic keeps {made.achieved:g} MHz and not {made.clock}: "
            f"from {made.path['from']} to {made.path['to']} it takes {made.path['logic']} ns of "
            f"logic and {made.path['routing']} ns of routing{advice}")

