"""The first designs of a front in RTL simulation and by the cycle model."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import EstimateError, TrilobiteError
from ..sim.explore import Found, Result
from ..tools.progress import SILENT, PartOfWork, Progress

if TYPE_CHECKING:   # needs the RTL tools
    from ..sim.explore.accelerators import Counted, Whole
    from ..sim.explore.check import Checked
    from .explore import Exploration

__all__ = ["NO_CHECKS", "Checking", "DesignChecks", "check_designs", "first_of_each_engine"]


@dataclass(frozen=True)
class Checking:
    """How many of the front's designs are simulated, and where; and whether as a whole.

    Raises
    ------
    EstimateError
        ``count`` is negative.
    """

    count: int = 0
    workers: int = 1
    cluster: str | None = None
    accelerators: bool = False

    def __post_init__(self) -> None:
        if self.count < 0:
            raise EstimateError(f"--check must not be negative, not {self.count}")


@dataclass(frozen=True)
class DesignChecks:
    """What RTL simulation gave for the engine and the accelerator of each of ``designs``.

    ``predicted`` has what the cycle model predicts of the whole accelerator, or why it cannot;
    ``counted`` what its RTL took with a small model, where that was simulated.
    """

    designs: tuple[Found, ...] = ()
    engines: tuple[Checked, ...] = ()
    predicted: tuple[Whole | str, ...] = ()
    counted: tuple[Counted | None, ...] = ()

    def to_json(self) -> dict[str, list[dict[str, Any]]]:
        """JSON values: ``checked`` for the engines, ``whole`` for the accelerators."""
        if not self.designs:
            return {"checked": [], "whole": []}
        from ..sim.explore.accelerators import whole_json  # noqa: PLC0415 - needs the RTL tools

        return {
            "checked": [
                {"format": design.design.format, "engine": design.design.engine, **one.to_json()}
                for design, one in zip(self.designs, self.engines, strict=True)],
            "whole": [whole_json(*of) for of in zip(
                self.designs, self.predicted, self.counted, strict=True)],
        }


NO_CHECKS = DesignChecks()


def check_designs(
    found: Exploration, checking: Checking, progress: Progress = SILENT
) -> Exploration:
    """Check the front's first ``checking.count`` designs of different engines.

    Raises
    ------
    TrilobiteError
        ``workers`` or ``cluster`` is none.
    ToolError
        A tool or submitit is missing, a simulation failed, or a job did.
    """
    chosen = first_of_each_engine(found.result, checking.count)
    if not chosen:
        return found
    # A search without a simulation must not need the RTL tools.
    from ..sim.explore.check import check_engines  # noqa: PLC0415
    from ..sim.verify.random_matrices import linear_shapes  # noqa: PLC0415

    shapes = tuple(linear_shapes([found.model.config]))
    progress.start(2 + checking.accelerators, "Simulating engines")
    engines = check_engines([one.engine for one in chosen], shapes, checking.workers,
                            checking.cluster, PartOfWork(progress))
    predicted = _predict(found, chosen, PartOfWork(progress))
    counted = _count(chosen, predicted, checking, PartOfWork(progress))
    checks = DesignChecks(tuple(chosen), tuple(engines), tuple(predicted), tuple(counted))
    return dataclasses.replace(found, checks=checks)


def first_of_each_engine(result: Result, count: int) -> list[Found]:
    """The front's first designs, so many, of different engines."""
    first: dict[Any, Found] = {}
    for one in result.front:
        first.setdefault(one.engine, one)
    return list(first.values())[:count]


def _predict(
    found: Exploration, chosen: Sequence[Found], progress: Progress
) -> list[Whole | str]:
    """The cycle model's prediction of each design, or why there is none."""
    from ..sim.explore.accelerators import predict_whole  # noqa: PLC0415 - as above

    by_name = {device.name: device for device in found.devices}
    predicted: list[Whole | str] = []
    progress.start(len(chosen), "Predicting accelerators")
    for one in chosen:
        try:
            predicted.append(predict_whole(one, found.model, by_name[one.design.device],
                                           found.prompt, found.tokens))
        except TrilobiteError as error:
            predicted.append(str(error))
        progress.advance()
    return predicted


def _count(
    chosen: Sequence[Found], predicted: Sequence[Whole | str], checking: Checking,
    progress: Progress,
) -> list[Counted | None]:
    """RTL simulations of the accelerators that exist, if they are wanted."""
    if not checking.accelerators:
        return [None] * len(chosen)
    from ..sim.explore.accelerators import accelerator_of, check_accelerator  # noqa: PLC0415
    from ..sim.explore.tasks import run_tasks  # noqa: PLC0415 - as above

    exist = [not isinstance(said, str) for said in predicted]
    real = [accelerator_of(one) for one, exists in zip(chosen, exist, strict=True) if exists]
    progress.doing("Simulating accelerators")
    counted = iter(run_tasks(check_accelerator, real, None, checking.workers, checking.cluster,
                             progress))
    return [next(counted) if exists else None for exists in exist]
