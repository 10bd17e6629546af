"""What reprocessing leaves in its directory.

These files::

    <group>.h5               images, curves and numbers of each group
    <raw file>_xye.h5        the photons, as `replay --out` writes them
    difference_<group>.h5    images and curves, each less those of the reference group
    summary.h5, summary.png  the means of all groups against what they are of
    report.html              all of it for people
    provenance.json          runs, versions, settings, and what was broken
    settings.yaml            what `--settings` takes to make it again, with sources.txt if they
                             are many

Each appears when it is complete. What this very work has left before, when it was broken off, is
replaced; nothing else is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from femto_bluesky.files.names import OutputError, OutputExistsError
from femto_bluesky.files.results import write_results
from femto_bluesky.model.results import DataGroup
from femto_bluesky.reprocess.differences import differences, reference_of
from femto_bluesky.reprocess.group_files import (
    file_name,
    read_results,
    read_summary,
    replaced,
    work_of,
    write_group,
)
from femto_bluesky.reprocess.journal import FOLDER
from femto_bluesky.reprocess.photon_parts import PhotonParts
from femto_bluesky.reprocess.provenance import (
    SETTINGS_FILE,
    SOURCES_FILE,
    Recipe,
    photon_files,
    provenance,
    work_of_settings,
    write_provenance,
    write_settings,
    write_sources,
)
from femto_bluesky.reprocess.results import Group, Reprocessed, RunInfo
from femto_bluesky.reprocess.summary import GroupSummary, in_order
from femto_bluesky.reprocess.summary_curves import (
    Told,
    curves_of,
    path_part,
    stacked,
    whole_curves,
)

FIXED = (
    "summary.h5", "summary.png", "report.html", "provenance.json", SETTINGS_FILE, SOURCES_FILE,
)  # fmt: skip
"""The files whose names do not depend on the runs."""


@dataclass(slots=True)
class Outputs:
    """Writes what comes of it into a directory; `take` is for `on_group`, `parts` for the workers.

    Groups are compared with the recipe's `reference`, or the first one; those that are runs only
    where there is a reference. `units` are those of motors and labels, for axes. `written` are the
    files, `groups` all groups when it is finished.
    """

    directory: Path
    recipe: Recipe
    units: Mapping[str, str] = field(default_factory=dict)
    written: list[Path] = field(default_factory=list)
    groups: list[GroupSummary] = field(default_factory=list)
    _names: dict[str, None] = field(default_factory=dict)

    @property
    def parts(self) -> PhotonParts:
        """What takes the photons on the workers."""
        return PhotonParts(self.directory.absolute() / FOLDER / "photons")

    def begin(self, *, restart: bool = False) -> None:
        """Write the settings; with `restart`, remove first what earlier work has left here.

        Raises `OutputExistsError` where a name is taken by other work.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        if restart:
            self._remove_earlier()
        there = [name for name in FIXED if (self.directory / name).exists()]
        if there and work_of_settings(self.directory) != self.recipe.work:
            raise OutputExistsError(
                f"{self.directory / there[0]} is there, of other work (other runs or settings, or "
                "another version); nothing is overwritten: choose another directory, or begin anew "
                "with --restart"
            )
        self._wrote(write_settings(self.directory, self.recipe))
        sources = write_sources(self.directory, self.recipe)
        if sources is not None:
            self._wrote(sources)

    def _remove_earlier(self) -> None:
        """Remove the files of ours that the last work in this directory has left, and no others."""
        earlier = work_of_settings(self.directory)
        if earlier is None:
            return
        results = [path for path in self.directory.glob("*.h5") if work_of(path) == earlier]
        photons = [
            *self.parts.joined(),
            *(self.directory / n for n in photon_files(self.directory)),
        ]
        for path in [*results, *photons, *(self.directory / name for name in FIXED)]:
            if path.parent.absolute() == self.directory.absolute():
                path.unlink(missing_ok=True)
        self.parts.remove()

    def take(self, group: Group) -> None:
        """Write the file of a group that is finished."""
        start, work = self.recipe.start(), self.recipe.work
        path = write_group(self.directory, group, start, work, self.units)
        self._names[group.name] = None
        self._wrote(path)

    def finish(self, done: Reprocessed) -> list[Path]:
        """Write what is of all groups, when all are finished; the paths of all files.

        Raises what is wrong with a file.
        """
        for name in done.finished_before:
            self._names.setdefault(name)
            self._wrote(self.directory / f"{file_name(name)}.h5")
        photons = self._join_photons(done.runs)
        files = {name: self.directory / f"{file_name(name)}.h5" for name in self._names}
        for path in files.values():
            if not path.is_file():
                raise OutputError(
                    f"{path} is gone: it was finished before, and is needed for the summary; bring "
                    "it back, or begin anew with --restart"
                )
        groups = self.groups = in_order(read_summary(path) for path in files.values())
        reference, different = self._compare(groups, files)
        self._remove_outdated({*files.values(), *different.values()})
        if len(groups) > 1:
            self._write_means(groups, files, different)
        record = provenance(self.recipe, self.directory, done.runs, done.broken, photons)
        self._wrote(write_provenance(self.directory, record))
        told = Told(
            record, groups, [files[group.name] for group in groups], reference, different,
            done.n_workers, done.seconds,
        )  # fmt: skip
        self._write_report(told)
        self.parts.remove()
        return self.written

    def _join_photons(self, runs: Sequence[RunInfo]) -> list[str]:
        """Photon files of the runs that count, in the order of time; the names of all of them."""
        names = dict.fromkeys(photon_files(self.directory, self.recipe.work))
        for run in sorted(runs, key=lambda run: (run.time, run.uid)):
            start: dict[str, Any] = {
                **self.recipe.start(),
                "original_run_uid": run.uid,
                "original_time": run.time,
                "parent_uids": [run.uid],
            }
            if run.scan_id is not None:
                start["scan_id"] = run.scan_id
            for path in self.parts.join(run.uid, start, self.directory):
                self._wrote(path)
                names.setdefault(path.name)
        return list(names)

    def _compare(
        self, groups: Sequence[GroupSummary], files: Mapping[str, Path]
    ) -> tuple[str, dict[str, Path]]:
        """The differences of all groups from the reference: its name, and their files."""
        wanted = self.recipe.reference
        if len(groups) < 2 or (self.recipe.group_by == "run" and not wanted):
            return "", {}
        reference = reference_of(groups, wanted)
        theirs = read_results(files[reference.name])
        found = {}
        for group in groups:
            if group is reference:
                continue
            mine = read_results(files[group.name])
            results = differences(mine, theirs, group.name, reference.name)
            if results:
                name = f"difference_{file_name(group.name)}.h5"
                found[group.name] = self._write(
                    name, results, f"{group.name} less {reference.name}"
                )
        return reference.name, found

    def _remove_outdated(self, current: Collection[Path]) -> None:
        """Remove differences from a reference that is none any more."""
        for path in self.directory.glob("difference_*.h5"):
            if path not in current and work_of(path) == self.recipe.work:
                path.unlink()

    def _write_means(
        self,
        groups: Sequence[GroupSummary],
        files: Mapping[str, Path],
        different: Mapping[str, Path],
    ) -> None:
        from femto_bluesky.files.pictures import draw_curves  # matplotlib: half a second

        means = curves_of(groups)
        title = f"Means of the groups by {self.recipe.group_by}"
        stacks = stacked((group, whole_curves(files[group.name])) for group in groups)
        apart = [
            replace(group, path=f"differences/{path_part(name)}/{group.path}")
            for name, path in different.items()
            for group in read_results(path, ndim=1).values()
        ]
        self._write("summary.h5", [*means, *stacks, *apart], title)
        if means:
            path = self.directory / "summary.png"
            replaced(path, lambda new: draw_curves(means, new, title=title))
            self._wrote(path)

    def _write(self, name: str, results: Sequence[DataGroup], title: str) -> Path:
        """Write a file of results of several groups; its path."""
        path = self.directory / name
        start = {**self.recipe.start(), "work": self.recipe.work}
        replaced(path, lambda new: write_results(new, results, title=title, start=start))
        self._wrote(path)
        return path

    def _write_report(self, told: Told) -> None:
        from femto_bluesky.reprocess.report import report  # matplotlib, as above

        path = self.directory / "report.html"
        text = report(told)
        replaced(path, lambda new: new.write_text(text, encoding="utf-8"))
        self._wrote(path)

    def _wrote(self, path: Path) -> None:
        if path not in self.written:
            self.written.append(path)
