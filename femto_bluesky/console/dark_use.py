"""Darks at the prompt: those that were taken last are kept and used."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from femto_bluesky.callbacks import DarkCollection, LiveAnalysis
from femto_bluesky.callbacks.dark_collection import use_darks
from femto_bluesky.console.errors import ConsoleError, told
from femto_bluesky.console.logs import NEWS
from femto_bluesky.files.darks import DarkFiles, newest_darks

news = logging.getLogger(NEWS)


@dataclass(frozen=True, slots=True)
class DarkList:
    """The darks that are used now; at the prompt, a line for each detector."""

    darks: Mapping[str, DarkFiles]

    def __repr__(self) -> str:
        return "\n".join(
            f"{name}: level {dark.level_adu:.1f} ADU, {dark.n_hot_pixels} hot pixels, of "
            f"{dark.n_frames} frames, in {dark.folder}"
            for name, dark in self.darks.items()
        )


class Darks:
    """The darks of a session: kept in `directory`, used by a `LiveAnalysis`."""

    def __init__(self, live: LiveAnalysis, collection: DarkCollection, directory: Path) -> None:
        self._live, self._collection, self._directory = live, collection, directory
        self._saved: set[str] = set()

    def use_darks(self) -> DarkList:
        """Keep what RE(collect_dark(...)) has taken, and use the newest darks of each camera.

        Darks of earlier sessions are used where there are none of this one.
        """
        with told():
            found = self._collection.result()
            run = next((images.run for images in found.values()), "")
            if run and run not in self._saved:
                self._collection.save(self._directory, run)
                self._saved.add(run)
            darks = newest_darks(self._directory) if self._directory.is_dir() else {}
            if not darks:
                raise ConsoleError(
                    f"there are no darks in {self._directory}; take some first: "
                    "RE(collect_dark([detector], n=100, shutter=shutter))"
                )
            use_darks(self._live, darks)
        return DarkList(darks)


def tell_of(collection: DarkCollection) -> Callable[[str, Any], None]:
    """What tells, when a run has been analysed, what darks the collection has of it.

    To be subscribed to the collection, and so called when that has seen all of a run.
    """
    raw: dict[str, str] = {}

    def tell(name: str, doc: Any) -> None:
        if name == "start":
            raw[doc["uid"]] = doc["original_run_uid"]
        run = raw.pop(doc["run_start"], None) if name == "stop" else None
        found = {} if run is None else collection.result(run)
        if found:
            taken = ", ".join(f"{images.n_frames} of {of}" for of, images in found.items())
            news.info("darks were taken: %s; use_darks() keeps them and has them used", taken)

    return tell
