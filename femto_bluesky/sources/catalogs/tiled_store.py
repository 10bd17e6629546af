"""Runs in a Tiled catalog, in this process or behind a server, and in a databroker."""

from __future__ import annotations

import contextlib
import copy
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from femto_bluesky.sources import jsonl
from femto_bluesky.sources.catalogs.as_datums import as_datums
from femto_bluesky.sources.catalogs.lines import list_runs
from femto_bluesky.sources.catalogs.runs import (
    CatalogError,
    Condition,
    Owners,
    Run,
    RunExistsError,
    plain,
)
from femto_bluesky.sources.catalogs.unbroken import Unbroken
from femto_bluesky.sources.documents import Pair

log = logging.getLogger(__name__)

NO_LIMIT = -1


class TiledStore:
    """Runs behind a Tiled client, written by its `TiledWriter`.

    `connect` gives the client; it is asked each time, and may be slow the first time.

    Arrays in events are kept in the table, whatever their size: outside it upstream forgets to
    which event they belong when one was taken again.
    """

    def __init__(self, connect: Callable[[], Any], where: str) -> None:
        self._connect = connect
        self._where = where

    @property
    def where(self) -> str:
        """How it is called in messages."""
        return self._where

    def find(self, conditions: Iterable[Condition], *, newest_first: bool = False) -> Iterator[Run]:
        """The runs for which all conditions hold, by the time of their start."""
        from tiled.queries import Comparison, Eq

        with self._told():
            found = self._client
            for wanted in conditions:
                key = f"start.{wanted.key}"
                if not wanted.is_range:
                    found = found.search(Eq(key, wanted.equals))
                if wanted.low is not None:
                    found = found.search(Comparison("ge", key, wanted.low))
                if wanted.high is not None:
                    found = found.search(Comparison("le", key, wanted.high))
            for node in found.sort((self._time, -1 if newest_first else 1)).values():
                if "start" in node.metadata:
                    yield self._run(node)

    def with_uid(self, uid: str) -> list[Run]:
        """The runs whose uid is this or begins so, two at most."""
        from bluesky_tiled_plugins.queries import PartialUID
        from tiled.queries import Like

        with self._told():
            if (node := self._whole(uid)) is not None:
                return [self._run(node)]
            query = PartialUID(uid) if self._is_mongo else Like("start.uid", f"{uid}%")
            found = [self._run(node) for node in self._client.search(query).values().head(9)]
            return [run for run in found if run.uid.startswith(uid)][:2]  # _ stands for any letter

    def insert(self, path: Path) -> None:
        """Store the runs whose documents are the JSON lines at `path`; the file stays.

        What a former attempt left of a run is removed first, and what this one leaves if it fails.
        """
        n_stored, runs = 0, [start["uid"] for start, _ in list_runs(path)]
        for uid in runs:
            with self._told():
                there = self._whole(uid)
            if there is not None and there.metadata.get("stop"):
                self._check(uid)
                continue
            if there is not None:
                self._remove(uid)
            owners = Owners()
            documents = (p for p in jsonl.read(path) if owners.run_of(*p) == uid)
            try:
                self._write(documents)
            except Exception as failure:
                self._remove(uid)
                what = str(failure).partition("\n")[0]
                raise CatalogError(
                    f"{self.where} cannot hold run {uid} ({what}); keep it as JSON lines, they "
                    "are replayed as well"
                ) from failure
            self._check(uid)
            n_stored += 1
        if not n_stored:
            raise RunExistsError(f"{self.where} has {', '.join(runs)} already")

    def close(self) -> None:
        """The client is closed by whoever made it."""

    _is_mongo = False
    _time = "start.time"

    @property
    def _client(self) -> Any:
        client = self._connect()
        # A databroker that was opened in this process has changed for all clients what a run is:
        # its copy of the table that they share is shallow.
        client.structure_clients.set("BlueskyRun", _run_class)
        return client

    def _write(self, documents: Iterable[Pair]) -> None:
        from bluesky_tiled_plugins import TiledWriter

        writer = TiledWriter(self._client, max_array_size=NO_LIMIT)
        for name, document in documents:
            writer(name, copy.deepcopy(document))

    def _check(self, uid: str) -> None:
        """Raise `CatalogError` where upstream has lost the names of TIFF files."""
        for name, document in self._documents(self._client[uid]):
            if (
                name == "stream_resource"
                and "tiff" in document["mimetype"]
                and not document["parameters"].get("template")
            ):
                raise CatalogError(
                    f"{self.where} has run {uid}, but has lost the names of the TIFF files of "
                    f"{document['data_key']!r}, for the first digits in them do not count; keep "
                    "the JSON lines to replay it, and let the detector write HDF5"
                )

    def _remove(self, uid: str) -> None:
        try:
            self._client.delete_contents(uid, recursive=True, external_only=False)
        except Exception as failure:
            log.debug("nothing of run %s was removed: %s", uid, failure)

    def _whole(self, uid: str) -> Any:
        try:
            return self._client[uid]
        except (KeyError, ValueError):
            return None

    def _run(self, node: Any) -> Run:
        metadata = plain(node.metadata)
        return Run(
            metadata["start"], metadata.get("stop") or None, self.where,
            partial(self._documents, node), served=partial(self._served, node),
        )  # fmt: skip

    def _served(self, node: Any, stream: str, key: str) -> str | None:
        """Where the server has the frames of a data key; None where it has none."""
        try:
            return str(node[stream][key].uri)
        except Exception as failure:
            log.warning("%s does not have the frames of %r: %s", self.where, key, failure)
            return None

    def _documents(self, node: Any) -> Iterator[Pair]:
        try:
            yield from node.documents(fill=False)
        except Exception as failure:
            if "406" in str(failure) or "application/json-seq" in str(failure):
                raise CatalogError(
                    f"{self.where} gives no documents (406): on the server, register "
                    "bluesky_tiled_plugins.exporters:json_seq_exporter for BlueskyRun and "
                    "application/json-seq under media_types; or replay the run from JSON lines"
                ) from failure
            remedy = (
                "another process has it open: close it there, or share it with `tiled serve`"
                if "lock" in str(failure)
                else "check that the server runs and holds the whole run"
            )
            raise CatalogError(
                f"{self.where} does not give the documents of run "
                f"{node.metadata['start']['uid']} ({failure}); {remedy}"
            ) from failure

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Whatever the client raises is an error of this catalog."""
        try:
            yield
        except CatalogError:
            raise
        except Exception as failure:
            raise CatalogError(
                f"{self.where} cannot be read: {type(failure).__name__}: {failure}. Check that "
                "it runs and that you may read it, or open the directory of JSON lines"
            ) from failure


class BrokerStore(TiledStore):
    """Runs in a databroker: Tiled in front of MongoDB. It holds resources and datums only."""

    _is_mongo = True
    _time = "time"

    def _write(self, documents: Iterable[Pair]) -> None:
        # all of it first: what MongoDB cannot hold must not be there in part
        for name, document in list(as_datums(documents)):
            self._client.post_document(name, document)

    def _check(self, uid: str) -> None:
        """A databroker keeps resources and datums as they came."""

    def _remove(self, uid: str) -> None:
        log.debug("a databroker removes nothing; run %s is there in part", uid)

    def _run(self, node: Any) -> Run:
        run = super()._run(node)
        # without `served`: a databroker would need handlers to read frames, which nobody keeps
        return Run(_without_id(run.start), run.stop and _without_id(run.stop), run.where, run.read)


def _import_run() -> Any:
    from bluesky_tiled_plugins.clients.bluesky_run import BlueskyRun

    return BlueskyRun


@cache
def _run_class() -> Any:
    return Unbroken(_import_run).result()


def _without_id(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != "_id"}
