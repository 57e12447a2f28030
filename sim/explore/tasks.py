"""Simulations side by side: in a pool of processes on this machine, or on a cluster (submitit)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from typing import Any, TypeVar

from ...errors import ToolError, TrilobiteError
from ...tools.cache import private_folder
from ...tools.environment import safe_interpreters
from ...tools.programs import worker_pool
from ...tools.progress import SILENT, Progress

__all__ = ["CLUSTERS", "run_tasks"]

CLUSTERS = ("local", "slurm", "debug")
_MINUTES = 60

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_tasks(
    work: Callable[[Item, Any], Result], items: Sequence[Item], argument: Any, workers: int = 1,
    cluster: str | None = None, progress: Progress = SILENT,
) -> list[Result]:
    """``work(item, argument)`` of every item, of equal ones once.

    Without ``cluster``: ``workers`` processes here. Else one job each through submitit: ``slurm``,
    ``local`` (processes), ``debug`` (this process). ``progress`` advances by one for each.

    Raises
    ------
    ToolError
        submitit is missing, or a job failed.
    TrilobiteError
        ``workers`` or ``cluster`` is none.
    """
    if workers < 1:
        raise TrilobiteError(f"--workers must be at least 1, not {workers}")
    if cluster is not None and cluster not in CLUSTERS:
        raise TrilobiteError(f"--cluster must be one of {', '.join(CLUSTERS)}, not {cluster}")
    distinct = list(dict.fromkeys(items))
    progress.start(len(distinct))
    results = (_on_cluster(work, distinct, argument, cluster) if cluster
               else _in_pool(work, distinct, argument, workers))
    found: dict[Item, Result] = {}
    for item, result in results:
        found[item] = result
        progress.advance()
    return [found[item] for item in items]


def _in_pool(
    work: Callable[[Item, Any], Result], items: Sequence[Item], argument: Any, workers: int
) -> Iterator[tuple[Item, Result]]:
    with worker_pool(workers) as pool:
        waiting = {pool.submit(work, item, argument): item for item in items}
        for done in as_completed(waiting):
            yield waiting[done], done.result()


def _on_cluster(
    work: Callable[[Item, Any], Result], items: Sequence[Item], argument: Any, cluster: str
) -> Iterator[tuple[Item, Result]]:
    try:
        import submitit  # noqa: PLC0415 - the extra `cluster`
    except ImportError:
        raise ToolError(
            "--cluster needs submitit; install it with: pip install 'trilobite[cluster]'"
        ) from None
    folder = private_folder("jobs")
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
    except RuntimeError as error:   # there is no Slurm
        raise ToolError(f"--cluster {cluster}: {error}") from None
    executor.update_parameters(name="trilobite-check", timeout_min=_MINUTES, cpus_per_task=1,
                               mem_gb=4)
    with safe_interpreters():
        jobs = executor.map_array(work, items, [argument] * len(items))
    for item, job in zip(items, jobs, strict=True):
        try:
            yield item, job.result()
        except submitit.core.utils.UncompletedJobError as error:
            raise ToolError(f"Job {job.job_id} in {folder} did not end: {error}") from None
