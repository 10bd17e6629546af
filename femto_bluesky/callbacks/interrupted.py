"""What a process that was killed has left of a run is set apart, so that its names are free again.

Nothing is deleted and nothing overwritten: the files of a derived run that was broken off move to a
folder of their own in `interrupted`, with the names that they have.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from femto_bluesky.callbacks.derived_files import DerivedFile, derived_in
from femto_bluesky.files.checked import XyeError, XyeFileError, open_checked
from femto_bluesky.files.names import new_path

INTERRUPTED: Final = "interrupted"
"""The folder, in the directory of the results."""

_PHOTONS = re.compile(r".*_xye(_\d+)?\.h5")
_OF_RESULTS = {".h5", ".png"}
_WRITTEN_LAST: Final = "/entry/offsets"  # of what a photon file has before its first row


def set_apart(directory: Path) -> list[DerivedFile]:
    """The derived runs that were set apart before."""
    folders = sorted((directory / INTERRUPTED).glob("*/"))
    return [one for folder in folders for one in derived_in(folder)]


def torn_of(start: Mapping[str, Any], derived: Iterable[DerivedFile]) -> list[DerivedFile]:
    """The files that were broken off before their first line, and have the name of a raw run."""
    name = re.compile(rf"scan_{re.escape(str(start.get('scan_id', '')))}(_\d+)?")
    return [one for one in derived if not one.start and name.fullmatch(one.path.stem)]


def files_of(
    raw: str,
    broken: Sequence[DerivedFile],
    directory: Path,
    derived: Sequence[DerivedFile],
    claimed: Collection[Path] = (),
) -> list[list[Path]]:
    """The files in the directory that were made for each of the derived runs `broken` of a raw run.

    Last come those of the run that belong to none of them. `derived` are all that lie there, and
    what is `claimed` is of another run. What a document names is its run's; what else `ResultFiles`
    writes begins with the name of its lines; photon files say of which run they are. One that
    cannot even be opened, and that no run names, was being made: it may be of this one.
    """
    of_others = {path.absolute() for one in derived if one not in broken for path in one.files}
    stems = {path.stem for path in directory.glob("*.jsonl")}  # also those of other runs
    uids = {str(one.start.get("uid")) for one in derived if one not in broken}
    found = [[p for p in dict.fromkeys(one.files) if _lies_in(directory, p)] for one in broken]
    loose: list[Path] = []
    known = {path.absolute() for of in (*found, claimed) for path in of} | of_others
    for path in sorted(directory.iterdir()):
        if path.suffix not in _OF_RESULTS or not path.is_file() or path.name.startswith("."):
            continue
        if path.absolute() in known:
            continue
        if _PHOTONS.fullmatch(path.name):
            of_raw, uid = _made_by(path) or (raw, "")
            if of_raw == raw and uid not in uids:
                at = [str(one.start.get("uid")) for one in broken]
                (found[at.index(uid)] if uid in at else loose).append(path)
        elif (stem := _stem_of(path, stems)) is not None:
            for one, of in zip(broken, found, strict=True):
                if one.path.stem == stem:
                    of.append(path)
    return [*found, loose]


def put_apart(
    raw: str, broken: Sequence[DerivedFile], files: Sequence[Sequence[Path]], directory: Path
) -> list[Path]:
    """Move the files of a raw run, as `files_of` has found them, to folders, and name these.

    Lines go after what belongs to them: should this be broken off too, they still tell of it.
    """
    *of_broken, loose = files
    parts = [(f"run_{raw[:8]}", loose)]
    for one, of in zip(broken, of_broken, strict=True):
        uid = str(one.start.get("uid", "torn"))[:8]
        parts.append((f"{one.path.stem}_{uid}", [*of, one.path]))
    folders = []
    for name, of in parts:
        there = [path for path in of if path.exists()]
        folder = directory / INTERRUPTED / name
        for path in there:
            folder.mkdir(parents=True, exist_ok=True)
            to = folder / path.name
            path.rename(new_path(folder, path.stem, path.suffix) if to.exists() else to)
        folders += [folder] * bool(there)
    return folders


def _lies_in(directory: Path, path: Path) -> bool:
    return path.is_file() and path.absolute().parent == directory.absolute()


def _stem_of(path: Path, stems: Collection[str]) -> str | None:
    """The name of the lines to which a file of results belongs: the longest that it begins with."""
    fitting = [s for s in stems if path.stem == s or path.stem.startswith(f"{s}_")]
    return max(fitting, key=len, default=None)


def _made_by(path: Path) -> tuple[str, str] | None:
    """The raw and the derived run of a photon file; None where it was still being made.

    One of another kind, or made of raw files alone, is of none: both are empty.
    """
    try:
        with open_checked(path) as file:
            if "/entry" in file and _WRITTEN_LAST not in file:
                return None
            raw = file.text("/entry/entry_identifier")
            text = file.text("/entry/start_document/data")
        uid = json.loads(text).get("uid") if text else None
    except XyeFileError:
        return "", ""
    except (XyeError, ValueError, AttributeError):
        return None
    return (raw, str(uid)) if uid else ("", "")
