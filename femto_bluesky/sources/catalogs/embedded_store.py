"""Runs of an embedded catalog, listed from its database; Tiled comes in where that is not enough.

Tiled takes seconds to import. To say which runs there are takes a look at one table of SQLite:
`nodes`, whose column `metadata` holds the start and the stop document of a run as JSON. Where the
table is not as it is known here, Tiled lists the runs.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from femto_bluesky.sources.catalogs.runs import Condition, Run
from femto_bluesky.sources.catalogs.tiled_store import TiledStore
from femto_bluesky.sources.documents import Pair

log = logging.getLogger(__name__)

PAGE = 100
"""Runs whose documents are read at a time: the newest is wanted more often than all."""

# the root has no parent; runs are its children, and have a start document
_RUNS = """
    SELECT node.id FROM nodes AS node JOIN nodes AS root ON node.parent = root.id
    WHERE root.parent IS NULL AND json_extract(node.metadata, '$.start.uid') IS NOT NULL
"""
_BY_TIME = " ORDER BY json_extract(node.metadata, '$.start.time') {}, node.id {}"


class EmbeddedStore(TiledStore):
    """Runs in the database of an embedded catalog, written and read with Tiled, listed without."""

    def __init__(self, connect: Callable[[], Any], where: str, database: Path) -> None:
        super().__init__(connect, where)
        self._database = database

    def find(self, conditions: Iterable[Condition], *, newest_first: bool = False) -> Iterator[Run]:
        """The runs for which all conditions hold, by the time of their start."""
        wanted = list(conditions)
        order = "DESC" if newest_first else "ASC"
        found = self._ids(_RUNS + _BY_TIME.format(order, order))
        if found is None:
            yield from super().find(wanted, newest_first=newest_first)
            return
        for first in range(0, len(found), PAGE):
            for run in self._read(found[first : first + PAGE]):
                if all(condition.holds(run.start) for condition in wanted):
                    yield run

    def with_uid(self, uid: str) -> list[Run]:
        """The runs whose uid is this or begins so, two at most."""
        begins = " AND substr(json_extract(node.metadata, '$.start.uid'), 1, length(?1)) = ?1"
        found = self._ids(_RUNS + begins + " LIMIT 2", uid)
        if found is None:
            return super().with_uid(uid)
        runs = self._read(found)
        return [run for run in runs if run.uid == uid] or runs

    def _ids(self, query: str, *values: str) -> list[int] | None:
        """The numbers of nodes; None where the table is not as it is known here."""
        try:
            return [int(number) for (number,) in self._rows(query, values)]
        except sqlite3.Error as error:
            log.info("%s is listed by Tiled: %s", self.where, error)
            return None

    def _read(self, numbers: list[int]) -> list[Run]:
        marks = ",".join("?" * len(numbers))
        query = f"SELECT id, metadata FROM nodes WHERE id IN ({marks})"
        with self._told():
            texts = dict(self._rows(query, numbers))
        runs = (json.loads(texts[number]) for number in numbers if number in texts)
        return [
            Run(
                found["start"], found.get("stop") or None, self.where,
                partial(self._documents_of, found["start"]["uid"]),
            )
            for found in runs
        ]  # fmt: skip

    def _rows(self, query: str, values: Iterable[Any]) -> list[Any]:
        """All rows at once: who writes waits for who reads."""
        place = f"file:{quote(str(self._database))}?mode=ro"
        with contextlib.closing(sqlite3.connect(place, uri=True, timeout=30)) as database:
            return database.execute(query, list(values)).fetchall()

    def _documents_of(self, uid: str) -> Iterator[Pair]:
        with self._told():
            node = self._client[uid]
        yield from self._documents(node)
