"""What documents that come through a network have in common: what each must hold, or is refused."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from femto_bluesky.sources.documents import Document

log = logging.getLogger(__name__)

NEEDED: Final[Mapping[str, Mapping[str, type | tuple[type, ...]]]] = {
    "start": {"uid": str, "time": (int, float)},
    "descriptor": {"uid": str, "run_start": str, "data_keys": dict},
    "event": {"uid": str, "descriptor": str, "seq_num": int, "data": dict, "time": (int, float)},
    "event_page": {"uid": list, "descriptor": str, "seq_num": list, "data": dict, "time": list},
    "resource": {"uid": str, "resource_path": str},
    "datum": {"datum_id": str, "resource": str},
    "datum_page": {"datum_id": list, "resource": str},
    "stream_resource": {"uid": str, "data_key": str},
    "stream_datum": {"stream_resource": str, "indices": dict},
    "stop": {"uid": str, "run_start": str},
}
"""What a document must hold, or nothing can be made of it."""


class PublishedError(ValueError):
    """An address where no documents come from, or a message that is no document."""


def checked(name: str, found: Any) -> Document:
    """The document with its name. Raises `PublishedError` where it lacks what it must hold."""
    wrong = [
        key for key, kind in NEEDED[name].items()
        if not isinstance(found, dict) or not isinstance(found.get(key), kind)
    ]  # fmt: skip
    if wrong:
        raise PublishedError(f"its {name} has no {', '.join(wrong)} such as it should have")
    return name, found


class Refusals:
    """Tells the log what is left out of what comes from an address, each reason once."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._told: set[str] = set()

    def tell(self, error: PublishedError) -> None:
        """Say that a message is left out, and why; after a hundred reasons, nothing more."""
        if str(error) not in self._told and len(self._told) < 100:
            self._told.add(str(error))
            log.warning("a message from %s is left out: %s", self._address, error)
