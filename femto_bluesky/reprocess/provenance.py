"""Which runs, which code and which settings results are of, and the command that makes them again.

Nothing in it tells of the machine, the number of workers or the time of day: the same work gives
the same record everywhere.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from femto_bluesky import __version__
from femto_bluesky.reprocess.group_files import replaced
from femto_bluesky.reprocess.summary import run_record

if TYPE_CHECKING:
    from femto_bluesky.reprocess.results import Broken, RunInfo
    from femto_bluesky.stream.analysis import Analysis

PACKAGES = ("numpy", "numba", "h5py")
"""Packages of others whose versions may show in a result."""

SETTINGS_FILE = "settings.yaml"
SOURCES_FILE = "sources.txt"
MOST_SOURCES = 6
"""So many sources stand in the command; more are in a file that it names."""

_MARK = "# work: "


@dataclass(frozen=True, slots=True)
class Recipe:
    """What was asked for: everything that results depend on.

    `analysis` is the name of its class, `spec` the MODULE:CLASS that finds it (empty for the
    beamline's pipeline); `settings` are all of its settings as plain data. `runs` are the uids, in
    the order of time; `sources` and `options` are words of the command.
    """

    analysis: str
    settings: Mapping[str, Any]
    runs: Sequence[str]
    sources: Sequence[str] = ()
    group_by: str = ""
    reference: str = ""
    spec: str = ""
    options: Sequence[str] = ()

    @classmethod
    def of(cls, analysis: Analysis, runs: Sequence[str], **said: Any) -> Recipe:
        """That of an analysis with its settings as they are now."""
        return cls(type(analysis).__name__, analysis.settings_record(), tuple(runs), **said)

    @property
    def work(self) -> str:
        """What tells this work from any other; how the runs were named does not matter."""
        said = [self.analysis, self.settings, list(self.runs), self.group_by, self.spec]
        text = json.dumps([*said, __version__], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def command(self, directory: Path, out: str | None = None) -> str:
        """What is typed to make it again; `out` is where to, else beside `directory`."""
        sources = list(self.sources)
        if len(sources) > MOST_SOURCES:
            sources = [f"@{directory / SOURCES_FILE}"]
        said = ["femto-bluesky", "reprocess", *sources, *self.options]
        if self.spec:
            said += ["--analysis", self.spec]
        said += ["--settings", str(directory / SETTINGS_FILE)]
        if self.group_by:
            said += ["--group-by", self.group_by]
        if self.reference:
            said += ["--reference", self.reference]
        return shlex.join([*said, "--out", out or f"{directory}_again"])

    def start(self) -> dict[str, Any]:
        """What each file of results says of where it comes from, as a start document does."""
        return {
            "purpose": "reprocessed",
            "analysis": {
                "name": self.analysis, "version": __version__, "settings": dict(self.settings),
            },
            "versions": versions(),
            "group_by": self.group_by,
        }  # fmt: skip


def versions() -> dict[str, str]:
    """The versions of this package, of Python, and of packages whose numbers these are."""
    found = {"femto_bluesky": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found


def provenance(
    recipe: Recipe,
    directory: Path,
    runs: Sequence[RunInfo],
    broken: Sequence[Broken],
    photons: Sequence[str] = (),
) -> dict[str, Any]:
    """The record of `provenance.json`; `photons` are the names of photon files."""
    return {
        "work": recipe.work,
        "command": recipe.command(directory),
        "group_by": recipe.group_by,
        "versions": versions(),
        "analysis": {"name": recipe.analysis, "class": recipe.spec or None},
        "settings": dict(recipe.settings),
        "runs": [{**run_record(run), "source": run.source} for run in runs],
        "broken": [broken_record(one) for one in broken],
        "photon_files": list(photons),
    }


def broken_record(broken: Broken) -> dict[str, Any]:
    """What is told of a run that is in no result."""
    run = broken.run
    return {
        "uid": None if run is None else run.uid,
        "scan_id": None if run is None else run.scan_id,
        "source": broken.source,
        "reason": broken.reason,
    }


def write_provenance(directory: Path, record: Mapping[str, Any]) -> Path:
    """Write `provenance.json`; its path."""
    path = directory / "provenance.json"
    text = json.dumps(record, indent=1, ensure_ascii=False, default=str) + "\n"
    replaced(path, lambda new: new.write_text(text, encoding="utf-8"))
    return path


def photon_files(directory: Path, work: str | None = None) -> list[str]:
    """The photon files that `provenance.json` names, where it is there and is of this work."""
    try:
        record = json.loads((directory / "provenance.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    if not isinstance(record, dict) or work not in (None, record.get("work")):
        return []
    return [str(Path(name).name) for name in record.get("photon_files", ())]


def write_settings(directory: Path, recipe: Recipe) -> Path:
    """Write `settings.yaml`, as the command reads it; its path."""
    path = directory / SETTINGS_FILE
    head = f"{_MARK}{recipe.work}\n# settings of {recipe.analysis}, as they were used\n"
    text = head + yaml.safe_dump(dict(recipe.settings), sort_keys=False, allow_unicode=True)
    replaced(path, lambda new: new.write_text(text, encoding="utf-8"))
    return path


def write_sources(directory: Path, recipe: Recipe) -> Path | None:
    """Write `sources.txt`, a source a line; its path, or None where they are few."""
    if len(recipe.sources) <= MOST_SOURCES:
        return None
    path = directory / SOURCES_FILE
    text = "".join(f"{source}\n" for source in recipe.sources)
    replaced(path, lambda new: new.write_text(text, encoding="utf-8"))
    return path


def work_of_settings(directory: Path) -> str | None:
    """Of which work `settings.yaml` is; None where there is none of ours."""
    path = directory / SETTINGS_FILE
    if not path.is_file():
        return None
    with path.open(encoding="utf-8", errors="replace") as file:
        first = file.readline()
    return first.removeprefix(_MARK).strip() if first.startswith(_MARK) else None
