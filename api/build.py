"""What a board needs to run a model: a bitstream, or what makes one, and a memory image."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import ToolError
from ..fpga.accelerator_parameters import AcceleratorParameters
from ..fpga.boards.bitstream import BOARDS, Bitstream, Board, make_bitstream
from ..fpga.image import Image
from ..fpga.image_file import write_image
from ..fpga.vivado.boards import VIVADO_BOARDS, VivadoBoard
from ..quant.checkpoint import open_checkpoint
from ..quant.output.atomic import OutputFolder, write_synced
from ..sim.descriptions.accelerator import load_accelerator
from ..tools.programs import package_folder
from ..tools.progress import SILENT, Progress
from ..tools.scratch import scratch_folder
from .image import compiled_image, image_name, tokenizer_files
from .ternary import ternary_copy

__all__ = ["Build", "build"]

_IMAGE = "image"
_RECORD = "manifest.json"   # by which --overwrite knows a folder of ours


@dataclass(frozen=True)
class Build:
    """A board's files in ``folder``, and what the tools say of its bitstream.

    ``files`` has the SHA-256 of each file by name; the folder ``image``, which
    ``fpga.image_file.write_image`` wrote, has its own. Where Vivado is to make the bitstream,
    nothing is routed yet: ``achieved`` is None, and ``resources``, ``path`` and ``tools`` are
    empty.
    """

    folder: str
    board: str
    model: str
    hardware: str
    clock: int
    achieved: float | None
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
    """Make the bitstream of a board, or a project for Vivado, and a model's memory image for it.

    Parameters
    ----------
    model
        A ternary model's folder, or master weights that were trained ternary, of which a ternary
        copy is taken.
    out
        The folder to write; it appears only when it is complete.
    board
        One of ``fpga.boards.bitstream.BOARDS``, whose bitstream is made here, or of
        ``fpga.vivado.boards.VIVADO_BOARDS``, for which Vivado's script and Verilog are written.
    clock
        Of the board's logic, in MHz; None takes the board's usual one.
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
    target = _find(board)
    megahertz = _checked_clock(target, clock)
    parameters = load_accelerator(target.hardware).whole()
    with scratch_folder() as scratch:
        folder, warnings = ternary_copy(str(model), scratch / "model", "built")
        with open_checkpoint(folder) as checkpoint:
            image = compiled_image(checkpoint, image_name(model), parameters, capacity)
            texts = tokenizer_files(checkpoint)
    with OutputFolder(Path(out), Path(model), image.nbytes, overwrite) as output:
        made = None
        if isinstance(target, VivadoBoard):
            progress.doing("Writing Verilog")
            contents = _vivado_files(target, parameters, megahertz, image)
        else:
            progress.doing("Making the bitstream")
            made = make_bitstream(target, parameters, megahertz)
            _check_achieved(made, target.clocks)
            contents = {f"{board}.bit": made.bit, "nextpnr.log": made.log.encode()}
        result = _result(out, target, model, megahertz, made, image, contents, warnings)
        record = {"trilobite_version": __version__, **result.to_json()}
        del record["folder"]
        contents[_RECORD] = (json.dumps(record, indent=1) + "\n").encode()
        write_image(image, output.path / _IMAGE, __version__, texts)
        for name, content in contents.items():
            (output.path / name).parent.mkdir(parents=True, exist_ok=True)
            write_synced(output.path / name, content)
        output.commit()
    return result


def _find(name: str) -> Board | VivadoBoard:
    """The board called ``name``."""
    known: dict[str, Board | VivadoBoard] = {**BOARDS, **VIVADO_BOARDS}
    if name not in known:
        raise ToolError(f"There is no board {name!r}; there is {', '.join(known)}")
    return known[name]


def _checked_clock(board: Board | VivadoBoard, clock: int | None) -> int:
    """``clock`` as the board has it, in MHz."""
    if clock is None:
        return board.clock
    if clock not in board.clocks:
        step = board.clocks.step
        said = (f"from {board.clocks[0]} to {board.clocks[-1]}" if step == 1 else
                f"one of {', '.join(map(str, board.clocks))}")
        raise ToolError(f"The clock of {board.name} is {said} MHz, not {clock}")
    return clock


def _vivado_files(board: VivadoBoard, parameters: AcceleratorParameters, megahertz: int,
                  image: Image) -> dict[str, bytes]:
    package_folder("amaranth", "a project for Vivado", "board")
    from ..fpga.vivado.project import vivado_files  # noqa: PLC0415 - it needs Amaranth

    return vivado_files(board, parameters, megahertz, image.name, image.nbytes)


def _result(out: str | Path, board: Board | VivadoBoard, model: str | Path, megahertz: int,
            made: Bitstream | None, image: Image, contents: dict[str, bytes],
            warnings: tuple[str, ...]) -> Build:
    """What is told of the files ``contents`` and of a bitstream that was ``made``."""
    return Build(
        str(out), board.name, str(model), board.hardware, megahertz,
        made.achieved if made else None, made.resources if made else {},
        made.path if made else {}, made.tools if made else (), image.capacity, image.nbytes,
        {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
        warnings)


def _check_achieved(made: Bitstream, clocks: range) -> None:
    """Refuse a bitstream that would compute wrong numbers on a slow device."""
    if made.achieved < made.clock:
        lower = [clock for clock in clocks if clock <= made.achieved]
        advice = f"; ask for {lower[-1]} MHz or less" if lower else ""
        raise ToolError(
            f"{made.board}: routed, the logic keeps {made.achieved:g} MHz and not {made.clock}: "
            f"from {made.path['from']} to {made.path['to']} it takes {made.path['logic']} ns of "
            f"logic and {made.path['routing']} ns of routing{advice}")
