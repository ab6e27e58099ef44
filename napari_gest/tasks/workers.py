"""Where work on parts of a tissue is done: here, or by processes on this or other machines."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from napari_gest.errors import InputError, ResultError

Item = TypeVar("Item")
Made = TypeVar("Made")

_SECONDS = 20  # that a scheduler may take to answer


class Workers(Protocol):
    """What does the same work on many items, one after another or several at once."""

    def map(self, work: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
        """Yield what ``work`` makes of each of ``items``, in their order."""


class Here:
    """Does all work in this thread, when its result is asked for."""

    def map(self, work: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
        """Yield what ``work`` makes of each of ``items``."""
        return map(work, items)


HERE = Here()


class DaskWorkers:
    """Sends work to the workers of a Dask cluster.

    Items are the same whoever works on them, and results come in their order, so that any number
    of workers gives the same numbers. What a worker that is gone was working on is done again by
    another.

    Parameters
    ----------
    client
        A ``distributed.Client``.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def map(self, work: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
        """Yield what ``work`` makes of each of ``items``; a few of them are under way at once.

        Raises
        ------
        ResultError
            If workers ended again and again over one item.
        """
        from distributed import KilledWorker

        sent: deque[Any] = deque()
        try:
            for item in items:
                # Nothing is scattered: that would be lost with the worker that holds it.
                sent.append(self._client.submit(work, item, pure=False))
                if len(sent) >= self._under_way:
                    yield sent.popleft().result()
            while sent:
                yield sent.popleft().result()
        except KilledWorker as error:
            raise ResultError(
                "Workers ended again and again over the same part of the tissue.",
                "Give each of them more memory, or use fewer of them on a machine.",
            ) from error
        finally:
            for future in sent:
                future.cancel()

    @property
    def _under_way(self) -> int:
        """Items that are sent before the first is waited for: two for each thread of a worker."""
        return max(2 * sum(self._client.nthreads().values()), 2)


@contextmanager
def workers(scheduler: str | None = None, n_workers: int | None = None) -> Iterator[Workers]:
    """Give workers: this process, or those of a Dask cluster, which is let go of at the end.

    ``with workers(n_workers=8) as doing: embed_niches(section, model, workers=doing)``

    Parameters
    ----------
    scheduler
        Address of a cluster that is there already, such as "tcp://node1:8786". Its workers must
        find the tissue under the same path.
    n_workers
        Processes to start on this machine, each with one thread, where there is no scheduler.

    Raises
    ------
    InputError
        If both are given, Dask is not installed, or no scheduler answers there.
    """
    if scheduler is not None and n_workers is not None:
        raise InputError(
            "Both a scheduler and a number of workers are given.",
            "Give one: a scheduler has its own workers.",
        )
    if scheduler is None and n_workers is None:
        yield HERE
        return
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise InputError(
            "Working with several processes needs Dask, which is not installed.",
            "Install it with 'pip install napari-gest[scale]', or leave the option out.",
        ) from error
    if scheduler is None:
        started = LocalCluster(
            n_workers=n_workers, threads_per_worker=1, processes=True, dashboard_address=None
        )
        with started, Client(started) as client:
            yield DaskWorkers(client)
        return
    try:
        reached = Client(scheduler, timeout=_SECONDS)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"No scheduler of Dask answers at '{scheduler}' ({error}).",
            "Start one with 'dask scheduler', and give the address that it prints.",
        ) from error
    with reached as client:
        yield DaskWorkers(client)
