"""The resource and datum documents that later documents refer to, and how long they are kept."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

from femto_bluesky.stream.events import Document

log = logging.getLogger(__name__)

MAX_RESOURCES = 1000
"""How many resources of runs that ended are kept: a detector may be staged around many runs."""

MAX_DATUMS = 10**6
"""How many datums wait for their events; more are of runs whose events are left out."""


class Referred:
    """Resources by uid and datums by datum_id.

    A resource outlives its run: a detector that is staged once around two runs names its file in
    the first one only. `runs` says which resources each open run reads from.
    """

    def __init__(self) -> None:
        self.resources: dict[str, Document] = {}
        self.datums: dict[str, Document] = {}

    def add_resource(self, doc: Document, runs: Mapping[str, Collection[str]]) -> None:
        """Keep a resource or stream_resource; one with the same uid is replaced."""
        self.resources.pop(doc["uid"], None)  # the newest is the last
        self.resources[doc["uid"]] = doc
        if not runs:
            self._drop_resources(runs)

    def add_datum(self, doc: Document, runs: Mapping[str, Collection[str]]) -> None:
        """Keep a datum until its event comes, if one may come that is analysed."""
        if not runs or doc["resource"] not in self.resources:
            log.debug("a datum of a run whose start was not seen is left out")
            return
        self.datums[doc["datum_id"]] = doc
        if len(self.datums) > MAX_DATUMS:
            del self.datums[next(iter(self.datums))]

    def forget(self, run: str, read: Collection[str], runs: Mapping[str, Collection[str]]) -> None:
        """Let go of what no run needs when `run` ends, which read from the resources `read`."""
        in_use = {uid for uids in runs.values() for uid in uids}
        own = {u for u, doc in self.resources.items() if _run_of(doc) == run}
        own = (own | set(read)) - in_use
        for datum_id in [d for d, doc in self.datums.items() if doc["resource"] in own or not runs]:
            del self.datums[datum_id]
        self._drop_resources(runs)

    def _drop_resources(self, runs: Mapping[str, Collection[str]]) -> None:
        if len(self.resources) <= MAX_RESOURCES:
            return
        in_use = {uid for uids in runs.values() for uid in uids}
        ended = [
            uid
            for uid, doc in self.resources.items()
            if _run_of(doc) not in runs and uid not in in_use
        ]
        for uid in ended[: max(len(ended) - MAX_RESOURCES, 0)]:
            del self.resources[uid]


def _run_of(resource: Document) -> str | None:
    """The run that a resource says it is of. One that says nonsense must not spoil other runs."""
    run = resource.get("run_start")
    return run if isinstance(run, str) else None
