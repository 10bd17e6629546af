"""Workers on this machine."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distributed import Client

log = logging.getLogger(__name__)


@contextmanager
def local_cluster(workers: int | None = None, memory_bytes: int | None = None) -> Iterator[Client]:
    """A Dask cluster of `workers` processes on this machine (None: one for each core).

    Each has one thread, for frames are read and analysed one after the other, and `memory_bytes`
    (None: its share of nine tenths of the memory); one that takes more is ended and begun anew.
    Nothing of it is seen from other machines; the dashboard is at ``client.dashboard_link``.
    Processes are begun afresh: in a script, call this under ``if __name__ == "__main__":``.

    Raises `ModuleNotFoundError` where Dask is not installed.
    """
    try:
        from distributed import Client, LocalCluster
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"more processes than one need more than is installed ({error}): pip install "
            "'femto-bluesky[scale]'", name=error.name,
        ) from error  # fmt: skip
    n_workers = workers or len(os.sched_getaffinity(0))
    if memory_bytes is None:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        memory_bytes = int(0.9 * memory / n_workers)
    with (
        LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            memory_limit=memory_bytes,
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client
