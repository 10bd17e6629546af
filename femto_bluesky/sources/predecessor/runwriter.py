"""Composes the documents of one run whose uids follow from what is in it.

Where the data keys, their shapes or the configuration change from one event to the next, a new
descriptor of the same stream says so: a missing reading is missing, and a short burst is short.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from femto_bluesky.sources.documents import Document
from femto_bluesky.sources.predecessor.readings import Reading, data_key

NAMESPACE: Final = uuid.UUID("5ad1a3c0-6c3e-5b0e-9c0f-1f2b7c0d4e11")


class RunWriter:
    """One run: `start` once, `event` for each step, `stop` once."""

    def __init__(self, metadata: Mapping[str, Any], time: float, ordinal: int = 0) -> None:
        """`ordinal` tells apart runs of one recording that say the same of themselves."""
        start = {**metadata, "time": time}
        named = json.dumps([start, ordinal], sort_keys=True, default=str)
        self.uid = str(uuid.uuid5(NAMESPACE, named))
        self.start: dict[str, Any] = {"uid": self.uid, **start}
        self._descriptors: dict[str, str] = {}
        self._types: dict[str, type[Any]] = {}
        self.n_events = 0

    def event(
        self,
        readings: Sequence[Reading],
        configuration: Mapping[str, Mapping[str, Any]],
        time: float,
    ) -> list[Document]:
        """The event of one step, behind a descriptor where none says yet what it holds."""
        readings = [self._as_before(reading) for reading in readings]
        documents: list[Document] = []
        keys = {r.key: data_key(r, f"recording:{r.owner}") for r in readings}
        owners = {r.owner for r in readings}
        settings = {name: dict(configuration.get(name, {})) for name in sorted(owners)}
        hints = {
            owner: {"fields": [r.key for r in readings if r.owner == owner and r.hinted]}
            for owner in sorted(owners)
        }
        signature = json.dumps([keys, settings, hints], sort_keys=True)
        uid = self._descriptors.get(signature)
        if uid is None:
            uid = str(uuid.uuid5(uuid.UUID(self.uid), f"descriptor {signature}"))
            self._descriptors[signature] = uid
            documents.append(
                (
                    "descriptor",
                    {
                        "uid": uid,
                        "run_start": self.uid,
                        "name": "primary",
                        "time": time,
                        "data_keys": keys,
                        "object_keys": {
                            owner: [r.key for r in readings if r.owner == owner]
                            for owner in sorted(owners)
                        },
                        "hints": hints,
                        "configuration": {
                            owner: _configuration(owner, values, time)
                            for owner, values in settings.items()
                        },
                    },
                )
            )
        self.n_events += 1
        documents.append(
            (
                "event",
                {
                    "uid": str(uuid.uuid5(uuid.UUID(self.uid), f"event {self.n_events}")),
                    "descriptor": uid,
                    "seq_num": self.n_events,
                    "time": time,
                    "data": {r.key: r.value for r in readings},
                    "timestamps": {r.key: time for r in readings},
                    "filled": {},
                },
            )
        )
        return documents

    def stop(self, exit_status: str, reason: str, time: float) -> Document:
        """The stop document: 'success', 'abort' or 'fail', and why."""
        return "stop", {
            "uid": str(uuid.uuid5(uuid.UUID(self.uid), "stop")),
            "run_start": self.uid,
            "time": time,
            "exit_status": exit_status,
            "reason": reason,
            "num_events": {"primary": self.n_events} if self.n_events else {},
        }

    def _as_before(self, reading: Reading) -> Reading:
        # JSON writes 1.0 as 1 now and then: a float stays a float all through the run.
        kind = self._types.setdefault(reading.key, type(reading.value))
        if kind is float and type(reading.value) is int:
            return Reading(
                reading.key, reading.owner, float(reading.value), reading.dims, reading.hinted
            )
        return reading


def _configuration(owner: str, values: Mapping[str, Any], time: float) -> dict[str, Any]:
    readings = [Reading(f"{owner}_{name}", owner, value) for name, value in values.items()]
    keys = {r.key: data_key(r, f"recording:{owner}") for r in readings}
    for reading in readings:
        if isinstance(reading.value, list):
            keys[reading.key] |= {"dtype": "array", "shape": [len(reading.value)]}
    return {
        "data": {r.key: r.value for r in readings},
        "timestamps": {r.key: time for r in readings},
        "data_keys": keys,
    }
