"""Tasks on the workers of a Dask cluster, wherever these are.

https://distributed.dask.org: its scheduler says which worker does what, and has done again what a
worker held that died.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata
from typing import TYPE_CHECKING, Any, cast

from femto_bluesky.reprocess.engines import Outcome, ReprocessError, WorkerDiedError
from femto_bluesky.reprocess.folding import Folder, Partial, Parts
from femto_bluesky.reprocess.pieces import Piece
from femto_bluesky.stream.analysis import Analysis

if TYPE_CHECKING:
    from distributed import Client

Future = Any
"""What stands for a result that lies on a worker; a class of Dask's."""

log = logging.getLogger(__name__)

PACKAGE = "femto-bluesky"

LOOK_S = 2.0
"""So often it looks how many workers there are."""


class DaskEngine:
    """Folds and merges on the workers of a client; results stay there until they are fetched.

    Each worker has the analysis once, in a plugin, as also those do that come later.
    """

    folds_on = False
    n_merged = 2

    def __init__(
        self,
        client: Client,
        pattern: Analysis,
        parts: Parts | None = None,
        *,
        wait_s: float,
    ) -> None:
        from distributed import as_completed

        self._client: Any = client
        self._name = f"femto_bluesky-{secrets.token_hex(6)}"
        self._open: dict[str, tuple[int, Future]] = {}
        self._looked = 0.0
        self._n_workers = 0
        self._done: Any = as_completed()
        try:
            client.wait_for_workers(1, timeout=wait_s)
        except TimeoutError as error:
            raise TimeoutError(
                f"no worker has come to the scheduler within {wait_s:g} s; start workers, or look "
                "into the queue that starts them"
            ) from error
        _check_versions(client)
        client.register_plugin(_plugin(pattern, parts), name=self._name)

    @property
    def n_workers(self) -> int:
        """The threads of all workers."""
        if time.monotonic() > self._looked + LOOK_S:
            self._looked = time.monotonic()
            self._n_workers = sum(self._client.nthreads().values())
        return max(1, self._n_workers)

    def fold(self, number: int, piece: Piece, into: Future | None) -> None:
        """Have a worker fold a piece."""
        import dask

        # frames that stood in documents go with it, and are large
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GB"}):
            self._submit(number, "fold", _fold, self._name, piece)

    def merge(self, number: int, results: Sequence[Future]) -> None:
        """Have a worker merge results: that one which has the most of them."""
        self._submit(number, "merge", _merge, self._name, list(results), priority=10)

    def ended(self) -> list[Outcome]:
        """Wait until a task has ended; what has."""
        futures = self._done.next_batch()
        if any(future.status in ("cancelled", "lost") for future in futures):
            raise _gone("it knows the tasks no more")
        whole = [future for future in futures if future.status == "finished"]
        try:
            places = self._client.who_has(whole) if whole else {}
        except (OSError, TimeoutError) as error:
            raise _gone(str(error)) from error
        found: list[Outcome] = []
        for future in futures:
            number, _ = self._open.pop(future.key)
            if future.status == "finished":
                found.append((number, future, next(iter(places.get(future.key, ())), "")))
            else:
                found.append((number, _why(future), ""))
        return found

    def fetch(self, result: Future) -> Partial:
        """The partial, sent here."""
        return cast("Partial", result.result())

    def take(self, result: Future) -> Partial:
        """The partial, sent here; the worker forgets it."""
        found = self.fetch(result)
        self.drop(result)
        return found

    def put(self, partial: Partial) -> Future:
        """Send a partial to a worker."""
        return self._client.scatter(partial, hash=False)

    def drop(self, result: Future) -> None:
        """Let the worker forget it."""
        result.release()

    def close(self) -> None:
        """Let the workers forget everything."""
        self._done.clear()
        under_way = [future for _, future in self._open.values()]
        self._open.clear()
        with suppress(OSError, TimeoutError, RuntimeError):  # where the cluster has gone
            if under_way:
                self._client.cancel(under_way)
            self._client.unregister_worker_plugin(self._name)

    def _submit(
        self, number: int, what: str, function: Any, *arguments: Any, priority: int = 0
    ) -> None:
        key = f"{what}-{self._name}-{number}"
        future = self._client.submit(function, *arguments, key=key, pure=False, priority=priority)
        self._open[key] = number, future
        self._done.add(future)


def _plugin(pattern: Analysis, parts: Parts | None) -> Any:
    """What each worker is given once; a class of Dask's, which is not imported before."""
    from distributed import WorkerPlugin

    class Plugin(WorkerPlugin):
        """Keeps a folder for the tasks of one piece of work."""

        def __init__(self) -> None:
            self.folder = Folder(pattern, parts)

    return Plugin()


def _folder(name: str) -> Folder:
    from distributed import get_worker

    plugin: Any = get_worker().plugins[name]
    return cast("Folder", plugin.folder)


def _fold(name: str, piece: Piece) -> Partial:
    return _folder(name).fold(piece)


def _merge(name: str, partials: list[Partial]) -> Partial:
    return _folder(name).merge(partials)


def _check_versions(client: Any) -> None:
    """Raise `ReprocessError` unless all workers have the version of the package that is here."""
    try:
        here = metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        return  # not installed, only found: nobody can tell
    for worker, there in client.run(metadata.version, PACKAGE, on_error="return").items():
        if there != here:
            raise ReprocessError(
                f"the worker {worker} has {PACKAGE} {there if isinstance(there, str) else 'not'}, "
                f"expected {here} as here: results must not depend on the worker; install it there"
            )


def _gone(why: str) -> ReprocessError:
    return ReprocessError(
        f"the scheduler of the cluster has gone, or was restarted ({why}); make the same call "
        "again when it is back. With `out`, it goes on where it stopped"
    )


def _why(future: Future) -> Exception:
    """Why a task has no result."""
    from distributed.scheduler import KilledWorker

    error = future.exception()
    if isinstance(error, KilledWorker):
        return WorkerDiedError(
            f"its worker died {error.allowed_failures + 1} times (was there memory enough?); look "
            "into the logs of the workers, or give them more memory"
        )
    if isinstance(error, Exception):
        return error
    return RuntimeError(f"it ended with {error!r}")
