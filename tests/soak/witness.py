"""An analysis that notes what was set when, and one that does the same again.

What a page, a prompt or a thread has changed between two shots is written down, in the order in
which it took effect. A clean replay does it all at the same shots, and must come to the same
results, to the last bit.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

from femto_bluesky.callbacks import Accumulation, LiveAnalysis
from femto_bluesky.model.shots import Shot
from femto_bluesky.stream.between_shots import between_shots

Note = list[Any]
"""What happened, and of what."""

FIXED = ("stream", "detectors")
"""Settings that cannot be changed, by which documents are read."""


class Notes:
    """Lines of JSON in the order in which things happened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("x")
        self._lock = threading.Lock()

    def add(self, *note: Any) -> None:
        """Write down a note."""
        with self._lock:
            self._file.write(json.dumps(note) + "\n")

    def close(self) -> None:
        """Nothing more comes."""
        self._file.close()

    @staticmethod
    def read(path: Path) -> list[Note]:
        """The notes in a file."""
        return [json.loads(line) for line in path.read_text().splitlines()]


@contextmanager
def noted_sums() -> Iterator[None]:
    """Have it noted when a sum is begun anew, and when that is undone, whoever does it."""

    def noted(name: str) -> Callable[[Accumulation], None]:
        plain: Callable[[Accumulation], None] = getattr(Accumulation, name)

        def do(self: Accumulation) -> None:
            witness = self._owner and self._owner._owner
            with between_shots(self):
                plain(self)
                if isinstance(witness, Witness):
                    witness.note("sum", name)

        return do

    with (
        patch.object(Accumulation, "reset", noted("reset")),
        patch.object(Accumulation, "undo_reset", noted("undo_reset")),
    ):
        yield


class Witness(LiveAnalysis):
    """The beamline's pipeline, which writes down what each shot was analysed with."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.at_next_shot: Callable[[], object] | None = None
        """Done once, in the middle of the analysis."""
        self._notes: Notes | None = None
        self._noted: Any = None

    def begin(self, notes: Notes | None) -> None:
        """Write down from now on what happens, into other notes."""
        with self.shell.lock:
            self._notes, self._noted = notes, None
            self.look()

    def note(self, *note: Any) -> None:
        """Write down what happened."""
        if self._notes is not None:
            self._notes.add(*note)

    def look(self) -> None:
        """Note the settings, where they are others."""
        now = self.settings_record()
        if now != self._noted:
            self._noted = now
            self.note("settings", now)

    def update(self, shot: Shot) -> Shot:
        """Note the shot, and what it is analysed with."""
        action, self.at_next_shot = self.at_next_shot, None
        if action is not None:
            action()
        self.look()
        self.note("shot", shot.run, shot.number, shot.time)
        return super().update(shot)

    def run_rows(self, run: str) -> dict[str, dict[str, Any]]:
        """Note the end of a run."""
        self.look()
        self.note("end", run)
        return super().run_rows(run)


class Repeated(LiveAnalysis):
    """The same pipeline, which is changed at the shots at which the witness has seen it changed."""

    @classmethod
    def of(cls, notes: Iterable[Note], directory: Path) -> Self:
        """A pipeline as it was when the notes began; see `note`."""
        notes = list(notes)
        first = next(note for note in notes if note[0] == "settings")
        settings = {key: value for key, value in first[1].items() if key not in FIXED}
        repeated = cls(**settings, directory=directory)
        repeated._learn(notes)
        return repeated

    def _learn(self, notes: Iterable[Note]) -> None:
        self._before: dict[tuple[Any, ...], list[Note]] = defaultdict(list)
        self._first_at: dict[float, tuple[Any, ...]] = {}
        waiting: list[Note] = []
        for note in notes:
            if note[0] in ("settings", "sum"):
                waiting.append(note)
                continue
            self._before[tuple(note)] += waiting
            waiting = []
            if note[0] == "shot":
                self._first_at.setdefault(note[3], tuple(note))
        self._last = waiting

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take in a document; settings that count from its first shot on are set before."""
        if name == "event":
            notes = self._before.get(self._first_at.get(doc["time"], ()), [])
            for note in [note for note in notes if note[0] == "settings"]:
                self._do(note)
        super().__call__(name, doc)

    def update(self, shot: Shot) -> Shot:
        """Do what was done before this shot; those that the witness has not seen are left out."""
        if ("shot", shot.run, shot.number, shot.time) not in self._before:
            return shot
        self._catch_up("shot", shot.run, shot.number, shot.time)
        return super().update(shot)

    def run_rows(self, run: str) -> dict[str, dict[str, Any]]:
        """Do what was done before the end of the run."""
        self._catch_up("end", run)
        return super().run_rows(run)

    def finish(self) -> None:
        """Do what was done last."""
        for note in self._last:
            self._do(note)

    def _catch_up(self, *key: Any) -> None:
        notes, self._before[key] = self._before.get(key, []), []
        for note in notes:
            self._do(note)

    def _do(self, note: Note) -> None:
        if note[0] == "sum":
            getattr(self.accumulation(), note[1])()
            return
        now = self.settings_record()
        changed = {key: value for key, value in note[1].items() if value != now[key]}
        if changed:
            self.configure(changed)
