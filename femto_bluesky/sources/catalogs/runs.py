"""A run of a catalog, what it is searched by, and to which run a document belongs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from numpy.typing import NDArray

from femto_bluesky.sources.documents import Pair

PHOTON_COLUMN = "_photon_energy"


class CatalogError(RuntimeError):
    """A catalog that cannot be opened, read or written; the message says what to do."""


class RunExistsError(CatalogError):
    """A run that is to be stored and is in the catalog already."""


class RunNotFoundError(ValueError):
    """No run, or more than one, is meant by what was asked for."""


@dataclass(frozen=True)
class Condition:
    """What a value of a start document must be: equal to `equals`, or from `low` to `high`.

    `key` is the value's name, with dots where it lies deeper. Both limits belong to the range.
    """

    key: str
    equals: Any = None
    low: Any = None
    high: Any = None

    @property
    def is_range(self) -> bool:
        """Whether a range is asked for."""
        return self.low is not None or self.high is not None

    def holds(self, start: Mapping[str, Any]) -> bool:
        """Whether a start document is as it must be."""
        value: Any = start
        for part in self.key.split("."):
            if not isinstance(value, Mapping) or part not in value:
                return False
            value = value[part]
        if not self.is_range:
            return bool(value == self.equals)
        try:
            above = self.low is None or value >= self.low
            return bool(above and (self.high is None or value <= self.high))
        except TypeError:
            return False


@dataclass(frozen=True)
class Run:
    """A run as a catalog has it; its metadata is known, its documents are read when asked for.

    `stop` is None where the run did not stop. `where` names the catalog. `served` gives the URL of
    the frames of a data key in a stream, on the server that keeps the run; None where none does.
    """

    start: dict[str, Any]
    stop: dict[str, Any] | None
    where: str
    read: Callable[[], Iterable[Pair]] = field(repr=False, compare=False)
    derived: Callable[[], list[Run]] = field(repr=False, compare=False, default=list)
    served: Callable[[str, str], str | None] | None = field(repr=False, compare=False, default=None)

    @property
    def uid(self) -> str:
        """The uid of the start document."""
        return str(self.start["uid"])

    @property
    def is_derived(self) -> bool:
        """Whether an analysis made it of another run."""
        return "original_run_uid" in self.start

    def documents(self) -> Iterator[Pair]:
        """The run's (name, document) pairs in plain containers, frames behind their references.

        Raises `CatalogError` where the catalog cannot give them.
        """
        for name, document in self.read():
            yield str(name), plain(document)

    def photon_files(self) -> dict[str, list[Path]]:
        """The photon files of each detector; of a raw run, those of its newest derived run."""
        if not self.is_derived:
            for derived in reversed(self.derived()):
                if found := derived.photon_files():
                    return found
            return {}
        files: dict[str, list[Path]] = {}
        for name, document in self.documents():
            key = str(document.get("data_key", "")) if name == "stream_resource" else ""
            if key.endswith(PHOTON_COLUMN):
                path = path_of(document["uri"])
                of_detector = files.setdefault(key.removesuffix(PHOTON_COLUMN), [])
                if path not in of_detector:
                    of_detector.append(path)
        return files

    def photons(self, detector: str | None = None) -> NDArray[Any]:
        """The photons of a detector as `files.xye.read` gives them.

        Without a name it is the only one. Raises `RunNotFoundError` where there is no file, or
        more than one to choose from.
        """
        from femto_bluesky.files import xye  # with it comes numba, which takes a while

        files = self.photon_files()
        chosen = files if detector is None else {detector: files.get(detector, [])}
        paths = [path for of_detector in chosen.values() for path in of_detector]
        if len(paths) != 1:
            there = {name: [str(path) for path in of] for name, of in files.items()}
            raise RunNotFoundError(
                f"run {self.uid[:8]}: found {len(paths)} photon files"
                f"{'' if detector is None else f' of {detector!r}'}, expected one; there are "
                f"{there or 'none'}. Name a detector, or read one with xye.read"
            )
        return xye.read(paths[0])


class Store(Protocol):
    """Where runs are kept."""

    @property
    def where(self) -> str:
        """How it is called in messages."""
        ...

    def find(self, conditions: Iterable[Condition], *, newest_first: bool = False) -> Iterator[Run]:
        """The runs for which all conditions hold, by the time of their start."""
        ...

    def with_uid(self, uid: str) -> list[Run]:
        """The runs whose uid is this or begins so, two at most."""
        ...

    def insert(self, path: Path) -> None:
        """Store the run whose documents are the JSON lines at `path`; the file stays.

        Raises `RunExistsError` where it is there already, and `CatalogError`.
        """
        ...

    def close(self) -> None:
        """Let go of connections and files."""
        ...


class Owners:
    """Says to which run a document belongs, from what came before."""

    def __init__(self) -> None:
        self._runs: dict[str, str] = {}

    def run_of(self, name: str, document: Mapping[str, Any]) -> str | None:
        """The uid of the document's run; None where nothing that it refers to was seen."""
        if name == "start":
            run: str | None = str(document["uid"])
        elif document.get("run_start"):
            run = str(document["run_start"])
        else:
            links = ("descriptor", "stream_resource", "resource")
            known = (self._runs.get(str(document[link])) for link in links if link in document)
            run = next((found for found in known if found is not None), None)
        if run is not None and name in ("descriptor", "resource", "stream_resource"):
            self._runs[str(document["uid"])] = run
        return run

    def forget(self, run: str) -> None:
        """Let go of what belongs to a run that has ended."""
        self._runs = {uid: owner for uid, owner in self._runs.items() if owner != run}


def path_of(uri: str) -> Path:
    """The local path that a file URI names."""
    return Path(unquote(urlsplit(uri).path))


def plain(value: Any) -> Any:
    """Mappings as dicts, and lists that hold some as lists; everything else as it is."""
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)) and any(isinstance(v, Mapping) for v in value):
        return [plain(inner) for inner in value]
    return value
