"""Where the work is done: in this process, in others on this machine, or in a Dask cluster."""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from distributed import Client

PATIENCE_S = 20.0
"""So long a scheduler may take to answer."""


def client_of(
    opened: ExitStack, scheduler: str | None, workers: int | None, analysis: str | None
) -> Client | None:
    """The cluster, whose dashboard is told; None where this process does the work alone.

    Raises `OSError` where no scheduler answers, `ModuleNotFoundError` where Dask is missing.
    """
    from femto_bluesky.reprocess import local_cluster

    n_workers = workers or len(os.sched_getaffinity(0))
    if scheduler is None and n_workers == 1:
        return None
    _quiet()
    if scheduler is None:
        from femto_bluesky.offline.uninterrupted import uninterrupted

        with uninterrupted():
            client = opened.enter_context(local_cluster(n_workers))
    else:
        try:
            from distributed import Client as DaskClient
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f"a cluster needs more than is installed ({error}): pip install "
                "'femto-bluesky[scale]'", name=error.name,
            ) from error  # fmt: skip
        try:
            client = opened.enter_context(DaskClient(scheduler, timeout=PATIENCE_S))
        except (OSError, TimeoutError) as error:
            raise OSError(
                f"--scheduler {scheduler}: nobody answers there within {PATIENCE_S:g} s ({error}); "
                "start `dask scheduler`, or check the address"
            ) from error
    path = (analysis or "").rpartition(":")[0]
    if path.endswith(".py"):
        client.upload_file(path)  # or no worker could import it
    Console(stderr=True, soft_wrap=True).print(
        f"dashboard of the workers: {client.dashboard_link}", highlight=False
    )
    return client


def _quiet() -> None:
    """Keep quiet what Dask says of each step of its life; failures are told in our own words."""
    with suppress(ModuleNotFoundError):  # which is told in words when a cluster is asked for
        import distributed  # noqa: F401  (which sets its own level when it is imported)

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
