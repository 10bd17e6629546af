"""A clean replay of what a soak has taken, and whether it gives the same results.

    python -m tests.soak.replaying FOLDER

`FOLDER` is a round of the soak: `raw.jsonl` (the documents of its runs), `derived.jsonl` (what the
analysis made of them while all went wrong), `notes.jsonl` (what was set when; see `witness`),
`sum.npz`, and `taken.json`, which says what the camera knows of its frames.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  (the compression of images)
import numpy as np
from numpy.typing import NDArray

from femto_bluesky.files import xye
from femto_bluesky.sources import jsonl
from femto_bluesky.sources.replay import replay
from femto_bluesky.stream.frames import path_of_uri
from tests.soak.frames import StampedFrames
from tests.soak.witness import Notes, Repeated

Documents = Iterable[tuple[str, Mapping[str, Any]]]


@dataclass
class Compared:
    """How many things were compared, and in words each that was not the same.

    `n_raced` are shots of events in the middle of which settings were changed, so that the derived
    run says of them what held at the begin of the event. `n_untold` are those of which it says
    something else again.
    """

    n_rows: int = 0
    n_photons: int = 0
    n_frames_known: int = 0
    n_sums: int = 0
    n_raced: int = 0
    n_untold: int = 0
    differences: list[str] = field(default_factory=list)

    def differ(self, where: str, live: Any, clean: Any) -> None:
        """Say what is not the same."""
        self.differences.append(f"{where}: live {live!r:.300}, clean {clean!r:.300}")


@dataclass
class DerivedRows:
    """The rows of one derived run by stream and number, and the settings that it says they have."""

    of: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    settings: dict[tuple[str, int], Any] = field(default_factory=dict)
    exit_status: str = ""
    reason: str = ""
    images: list[tuple[str, Path]] = field(default_factory=list)

    @property
    def n_shots(self) -> int:
        """How many shots were analysed."""
        return sum(stream == "shots" for stream, _ in self.of)


def derived_rows(documents: Documents) -> dict[str, DerivedRows]:
    """The rows of derived runs by the uid of the raw run; a row that came again counts as last."""
    runs: dict[str, DerivedRows] = {}
    raw_of: dict[str, str] = {}
    streams: dict[str, tuple[DerivedRows, str, Any]] = {}
    for name, doc in documents:
        if name == "start":
            raw_of[doc["uid"]] = doc["original_run_uid"]
            runs[doc["original_run_uid"]] = DerivedRows()
        elif name == "descriptor":
            (configured,) = doc["configuration"].values()
            settings = json.loads(configured["data"]["settings"])
            streams[doc["uid"]] = runs[raw_of[doc["run_start"]]], doc["name"], settings
        elif name == "stream_resource" and doc["data_key"].endswith("_image"):
            path = path_of_uri(doc["uri"])
            runs[raw_of[doc["run_start"]]].images.append((doc["parameters"]["dataset"], path))
        elif name == "stop":
            run = runs[raw_of[doc["run_start"]]]
            run.exit_status, run.reason = doc["exit_status"], doc.get("reason", "")
        elif name in ("event", "event_page"):
            run, stream, settings = streams[doc["descriptor"]]
            is_page = name == "event_page"
            for index, number in enumerate(doc["seq_num"] if is_page else [doc["seq_num"]]):
                data = doc["data"]
                run.of[stream, number] = {
                    key: data[key][index] if is_page else data[key]
                    for key in data
                    if not key.endswith("_first_photon")  # photons are compared for themselves
                }
                run.settings[stream, number] = settings
    return runs


def compare(folder: Path, clean: Path) -> Compared:
    """Replay a round into the new folder `clean`, and compare it with what was found live."""
    clean.mkdir()
    notes = Notes.read(folder / "notes.jsonl")
    repeated = Repeated.of(notes, clean)
    documents: list[tuple[str, Mapping[str, Any]]] = []
    repeated.subscribe(lambda name, doc: documents.append((name, doc)))
    taken = json.loads((folder / "taken.json").read_text())
    replay(folder / "raw.jsonl", repeated)
    repeated.finish()
    found = Compared()
    live = derived_rows(jsonl.read(folder / "derived.jsonl", tell=False))
    again = derived_rows((name, json.loads(json.dumps(doc))) for name, doc in documents)
    used = settings_used(notes)
    raced = {}
    for run in live:
        raced[run] = compare_rows(
            found, run, live[run], again[run], used, is_cut=run in taken["cut"]
        )
        if run not in taken["cut"]:
            compare_images(found, run, live[run], again[run], folder / "process")
    compare_photons(found, folder / "process", clean, taken, raced)
    compare_sums(found, folder / "sum.npz", repeated)
    return found


def settings_used(notes: Iterable[Any]) -> dict[tuple[str, int], Any]:
    """With what each shot was analysed (the last time), as the witness has noted it."""
    now, used = None, {}
    for note in notes:
        if note[0] == "settings":
            now = note[1]
        elif note[0] == "shot":
            used[note[1], note[2]] = now
    return used


def compare_rows(
    found: Compared,
    run: str,
    live: DerivedRows,
    clean: DerivedRows,
    used: Mapping[tuple[str, int], Any],
    *,
    is_cut: bool,
) -> set[int]:
    """The rows of shots, steps and the run. Of a run that has failed, those that there are.

    Returns the shots of events in the middle of which settings were changed.
    """
    if not is_cut and live.of.keys() != clean.of.keys():
        missing = sorted(clean.of.keys() - live.of.keys())[:5]
        more = sorted(live.of.keys() - clean.of.keys())[:5]
        found.differ(f"run {run}: rows", f"lacks {missing}", f"lacks {more}")
    raced = {
        number
        for stream, number in live.of
        if stream == "shots" and live.settings[stream, number] != used[run, number - 1]
    }
    shots = {number: row["step"] for (stream, number), row in live.of.items() if stream == "shots"}
    burst = {shots[number] + 1 for number in raced}
    changed = {
        step
        for number, step in shots.items()
        if used[run, number - 1] != used.get((run, number - 2))
    }
    untold = {number for number in raced if shots[number] not in changed}
    found.n_untold += len(untold)
    found.n_raced += len(raced) - len(untold)
    for (stream, number), row in live.of.items():
        other = clean.of.get((stream, number))
        if other is None:
            continue
        found.n_rows += 1
        is_raced = number in (raced if stream == "shots" else burst)
        keys = row.keys() & other.keys() if is_raced else row.keys() | other.keys()
        for key in keys:
            if is_raced and None in (row.get(key), other.get(key)):
                continue
            if row.get(key) != other.get(key):
                where = f"run {run}, {stream} {number}, {key}"
                found.differ(where, row.get(key), other.get(key))
    return {number - 1 for number in raced}


def compare_images(
    found: Compared, run: str, live: DerivedRows, clean: DerivedRows, moved: Path
) -> None:
    """The images of sums at the end of the run."""
    for (dataset, mine), (_, other) in zip(live.images, clean.images, strict=True):
        with h5py.File(moved / mine.name) as one, h5py.File(other) as two:
            found.n_sums += 1
            if not np.array_equal(one[dataset][:], two[dataset][:]):
                found.differ(f"run {run}: the image of the sum", mine.name, other.name)


def compare_photons(
    found: Compared,
    live: Path,
    clean: Path,
    taken: Mapping[str, Any],
    raced: Mapping[str, set[int]],
) -> None:
    """The photons of each frame, and that they are those of the frame that the camera took.

    Where counting was switched on or off in the middle of an event, photons are kept from the next
    event on: shots that are `raced` may be missing.
    """
    source = StampedFrames(tuple(taken["shape"]), 0.0, 0, 0)
    index_of = {(burst["path"], burst["first_frame"] + offset): burst["source_index"] + offset
                for burst in taken["bursts"] for offset in range(burst["n_frames"])}  # fmt: skip
    for path in sorted(live.glob("*_xye.h5")):
        mine = xye.contents(path)
        other = (
            photons_by_shot(xye.contents(clean / path.name)) if (clean / path.name).exists() else {}
        )
        shots = photons_by_shot(mine)
        missing = other.keys() - shots.keys() - raced.get(mine.run, set())
        if missing and mine.run not in taken["cut"]:
            found.differ(f"{path.name}: shots", f"lacks {sorted(missing)[:10]}", "has them")
        raw = str(mine.raw[0]) if mine.raw is not None else ""
        for shot, (frame, photons) in shots.items():
            found.n_photons += len(photons)
            where = f"{path.name}, shot {shot}"
            if shot in other:
                if (frame, photons.tobytes()) != (other[shot][0], other[shot][1].tobytes()):
                    found.differ(
                        where, (frame, len(photons)), (other[shot][0], len(other[shot][1]))
                    )
            elif shot not in raced.get(mine.run, set()):
                found.differ(where, f"{len(photons)} photons", "none")
            if source.is_on(photons, index_of[raw, frame]):
                found.n_frames_known += 1
            else:
                found.differ(where, "not its own photons", f"frame {index_of[raw, frame]}")


def photons_by_shot(found: xye.Contents) -> dict[int, tuple[int, NDArray[Any]]]:
    """The raw frame of each shot, and its photons."""
    columns = (found.frames[name] for name in ("shot", "frame", "first_photon", "n_photons"))
    return {
        int(shot): (int(frame), found.photons[first : first + n])
        for shot, frame, first, n in zip(*columns, strict=True)
    }


def compare_sums(found: Compared, path: Path, repeated: Repeated) -> None:
    """The sum as it was at the end of the round."""
    result = repeated.accumulation().result()
    with np.load(path) as held:
        live = dict(held)
    found.n_sums += 1
    n_frames = 0 if result is None else result.n_frames
    if live["n_frames"] != n_frames:
        found.differ("frames in the sum", live["n_frames"], n_frames)
    elif result is not None and not np.array_equal(live["image"], result.image):
        found.differ("the sum", live["image"].sum(), result.image.sum())


if __name__ == "__main__":
    place = Path(sys.argv[1])
    print(json.dumps(asdict(compare(place, place / "clean"))))
