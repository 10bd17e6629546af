"""What sardana and contrast say of a scan: its title, when it begins, its steps, how it ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from femto_bluesky.sources.predecessor import unpickle
from femto_bluesky.sources.predecessor.frames import FrameError, parse_json
from femto_bluesky.sources.predecessor.messages import Item, Stream
from femto_bluesky.sources.predecessor.readings import Keys, Reading, flat, json_safe, plain

TYPES: Final = frozenset({"sardana", "contrast"})


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a control stream. `kind` is what it does to the run."""

    kind: Literal["begin", "step", "end", "other"]
    values: Mapping[str, Any]
    status: str = "success"
    reason: str = ""


@dataclass
class Scan:
    """One scan as its control stream describes it; the names of its readings become keys."""

    stream: str
    metadata: dict[str, Any]
    motors: tuple[str, ...] = ()
    floats: frozenset[str] = frozenset()
    counters: frozenset[str] = frozenset()
    keys: Keys = field(default_factory=Keys)


def read(item: Item, name: str, stream: Stream) -> Message:
    """The message in a control stream. Raises `FrameError` where it is not one."""
    if not stream.frames:
        raise FrameError(f"event {item.event_number}: the stream {name!r} holds no message")
    if stream.typ == "sardana":
        return _sardana(parse_json(stream.frames[0]))
    where = f"event {item.event_number}, stream {name!r}"
    try:
        value = unpickle.loads(stream.frames[0], where=where)
    except unpickle.UnpickleError as error:
        raise FrameError(str(error)) from error
    if not isinstance(value, dict):
        raise FrameError(f"{where}: a {type(value).__name__} instead of a dict")
    return _contrast(value)


def _sardana(values: dict[str, Any]) -> Message:
    kinds: dict[Any, Literal["begin", "step", "end"]] = {
        "DataDescription": "begin",
        "RecordData": "step",
        "RecordEnd": "end",
    }
    return Message(kinds.get(str(values.get("type")), "other"), values)


def _contrast(values: dict[str, Any]) -> Message:
    match values.get("status"):
        case "started":
            return Message("begin", values)
        case "running":
            return Message("step", values)
        case "finished":
            return Message("end", values)
        case "interrupted":
            return Message("end", values, "abort", "contrast says that the scan was interrupted")
    return Message("other", values)


def _listed(values: Mapping[str, Any], name: str) -> list[Any]:
    """A list that sardana names; an empty one where it is anything else."""
    found = values.get(name)
    return found if isinstance(found, list) else []


def sardana_scan(stream: str, values: Mapping[str, Any]) -> Scan:
    """The scan that a DataDescription describes."""
    keys = Keys()
    title = str(values.get("title") or "scan")
    columns = [c for c in _listed(values, "column_desc") if isinstance(c, dict) and "name" in c]
    motors = tuple(str(name) for name in _listed(values, "ref_moveables"))
    named = parse_title(title, set(motors))
    # ref_moveables decide which motors there are; the title only tells how they move.
    named = ScanTitle(
        named.plan_name,
        named.motors if set(named.motors) == set(motors) else motors,
        named.shape if set(named.motors) == set(motors) else (),
        named.is_mesh,
    )
    shown = motors or ("point_nb",)
    metadata: dict[str, Any] = {
        "plan_name": named.plan_name,
        "plan_type": "generator",
        "title": title,
        "motors": [keys(name) for name in shown],
    }
    dims = (
        # Sardana's mesh moves its first motor fastest (sardana.macroserver.macros.scan.mesh).
        dimensions(named, keys, first_is_slow=False) if motors else [[["point_nb"], "primary"]]
    )
    if (n := _num_points(values, columns) or named.num_points) is not None:
        metadata["num_points"] = n
    if named.is_mesh and named.shape:
        metadata["shape"] = list(named.shape[::-1])
    if isinstance(values.get("serialno"), int):
        metadata["scan_id"] = values["serialno"]
    for name in ("scandir", "scanfile", "starttime", "estimatedtime", "counters"):
        if values.get(name) is not None:
            metadata[name] = json_safe(values[name])
    metadata["hints"] = {"dimensions": dims}
    floats = {str(c["name"]) for c in columns if str(c.get("dtype", "")).startswith("float")}
    counters = {str(name) for name in values.get("counters") or ()}
    return Scan(stream, metadata, motors, frozenset(floats), frozenset(counters), keys)


def _num_points(values: Mapping[str, Any], columns: list[dict[str, Any]]) -> int | None:
    for column in columns:
        last = column.get("max_value")
        if column["name"] == "point_nb" and isinstance(last, int) and last >= 0:
            return last + 1
    intervals = values.get("total_scan_intervals")
    return intervals + 1 if isinstance(intervals, int) and intervals >= 0 else None


def sardana_readings(scan: Scan, values: Mapping[str, Any], n_frames: int) -> list[Reading]:
    """The columns of a RecordData. An array of `n_frames` values has the dimension "frame"."""
    readings = []
    for name, raw in values.items():
        if name == "type":
            continue
        for inner, leaf in flat("", raw) if isinstance(raw, Mapping) else [("", raw)]:
            if leaf is None:
                continue
            value = plain(leaf)
            if name in scan.floats and type(value) is int:
                value = float(value)
            key = scan.keys(f"{name}_{inner}" if inner else name)
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            hinted = name in scan.motors or (name in scan.counters and is_number)
            readings.append(_reading(key, scan.keys(name), value, n_frames, hinted=hinted))
    return readings


def contrast_scan(stream: str, started: Mapping[str, Any], first: Mapping[str, Any] | None) -> Scan:
    """The scan that a `started` message and its first readings (if any) describe."""
    keys = Keys()
    description = str(started.get("description") or "scan")
    snapshot = started.get("snapshot")
    known: Mapping[str, Any] = first or (snapshot if isinstance(snapshot, Mapping) else {})
    numbers = {n for n, v in known.items() if isinstance(plain(v), (int, float))}
    named = parse_title(description, numbers)
    metadata: dict[str, Any] = {
        "plan_name": named.plan_name,
        "plan_type": "generator",
        "title": description,
        "description": description,
        "motors": [keys(name) for name in named.motors],
    }
    if named.num_points is not None:
        metadata["num_points"] = named.num_points
        metadata["shape"] = list(named.shape)
    if isinstance(started.get("scannr"), int):
        metadata["scan_id"] = started["scannr"]
    for name in ("path", "snapshot"):
        if started.get(name) is not None:
            metadata[name] = json_safe(started[name])
    metadata["hints"] = {
        "dimensions": dimensions(named, keys, first_is_slow=True)
        if named.motors
        else [[["time"], "primary"]]
    }
    return Scan(stream, metadata, named.motors, keys=keys)


def contrast_readings(scan: Scan, values: Mapping[str, Any], n_frames: int) -> list[Reading]:
    """The readings of a `running` message; nested dicts become keys joined with "_"."""
    readings = []
    for name, raw in values.items():
        if name == "status":
            continue
        for inner, leaf in flat(str(name), raw):
            hinted = name in scan.motors
            value = plain(leaf)
            if hinted and type(value) is int:
                value = float(value)
            readings.append(
                _reading(scan.keys(inner), scan.keys(str(name)), value, n_frames, hinted=hinted)
            )
    return readings


def _reading(key: str, owner: str, value: Any, n_frames: int, *, hinted: bool) -> Reading:
    shape: tuple[int, ...] = getattr(value, "shape", ())
    dims = ("frame",) if len(shape) == 1 and shape[0] == n_frames else ()
    return Reading(key, owner, value, dims, hinted)


@dataclass(frozen=True, slots=True)
class ScanTitle:
    """A title like ``mesh sx -2 2 3 sy -2 2 4 0.1``, taken apart.

    `motors` stand in the order of the title, `shape` has one number of points a dimension
    (empty where the title does not tell), and `is_mesh` says that each motor is a dimension.
    """

    plan_name: str
    motors: tuple[str, ...]
    shape: tuple[int, ...]
    is_mesh: bool

    @property
    def num_points(self) -> int | None:
        """How many points the scan has; None where the title does not tell."""
        return math.prod(self.shape) if self.shape else None


def parse_title(title: str, motors: Container[str]) -> ScanTitle:
    """Take `title` apart; the words that are in `motors` are its motors.

    A mesh has ``motor start end intervals`` for each motor; other scans have ``motor start end``
    for each and the intervals behind the last. Intervals plus one are points.

    >>> parse_title("mesh sx -2 2 3 sy -2 2 4 0.1", {"sx", "sy"}).shape
    (4, 5)
    >>> parse_title("ascan sx -2 2 10 0.1", {"sx"}).num_points
    11
    """
    words = title.split()
    places = [i for i, word in enumerate(words) if i and word in motors]
    names = tuple(dict.fromkeys(words[i] for i in places))
    is_mesh = len(words) > 0 and "mesh" in words[0].lower()
    counted = places if is_mesh else places[-1:]
    points = [_points(words, i + 3) for i in counted]
    known = tuple(n for n in points if n is not None)
    shape = known if len(known) == len(points) else ()
    return ScanTitle(words[0] if words else "scan", names, shape, is_mesh)


def dimensions(
    scan: ScanTitle, key: Callable[[str], str], *, first_is_slow: bool
) -> list[list[object]]:
    """`hints.dimensions` of the scan, slow first; motors that move together share one."""
    names = [key(name) for name in scan.motors]
    if not scan.is_mesh:
        return [[names, "primary"]]
    return [[[name], "primary"] for name in (names if first_is_slow else names[::-1])]


def _points(words: list[str], place: int) -> int | None:
    try:
        intervals = int(words[place])
    except (IndexError, ValueError):
        return None
    return intervals + 1 if intervals >= 0 else None
