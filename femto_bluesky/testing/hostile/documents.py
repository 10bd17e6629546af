"""Documents of runs that no RunEngine would send, given to the whole live analysis."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import h5py
import numpy as np

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.model.rois import Roi
from femto_bluesky.sources.documents import Document
from femto_bluesky.testing.documents import as_pages
from femto_bluesky.testing.hostile import values

Documents = list[Document]
STYLES = ("inline", "datum", "stream")
IMAGE = "det_image"


def run(
    uid: str, folder: Path, style: str = "inline", detector: str = "det", n_events: int = 2
) -> Documents:
    """A run as it should be: steps of a motor, with bursts of 2 frames of 8 by 8 pixels.

    The frames stand in the events, or in ``frames.h5`` of the folder, behind datums or
    stream_datums.
    """
    image, n_frames = f"{detector}_image", 2
    frames = np.arange(n_events * n_frames * 64, dtype=np.uint16).reshape(-1, n_frames, 8, 8)
    entry: dict[str, Any] = {
        "dtype": "array", "shape": [n_frames, 8, 8], "source": "a", "dims": ["frame", "y", "x"],
        "dtype_numpy": "<u2",
    }  # fmt: skip
    if style != "inline":
        entry["external"] = "STREAM:" if style == "stream" else "FILESTORE:"
        with h5py.File(folder / "frames.h5", "w") as file:
            file["/entry/data/data"] = frames.reshape(-1, 8, 8)
    made: Documents = [
        ("start", {"uid": uid, "time": 1.0, "scan_id": 1, "motors": ["m"], "plan_name": "scan",
                   "hints": {"dimensions": [[["m"], "primary"]]}}),
    ]  # fmt: skip
    descriptor = {
        "uid": f"{uid}-d", "run_start": uid, "name": "primary", "time": 1.0, "hints": {},
        "object_keys": {detector: [image], "m": ["m"]},
        "configuration": {detector: {"data": {f"{detector}_min_y": 0}, "timestamps": {},
                                     "data_keys": {}}},
        "data_keys": {"m": {"dtype": "number", "shape": [], "source": "a"}, image: entry},
    }  # fmt: skip
    if style == "datum":
        made.append(("descriptor", descriptor))
        made.append(
            ("resource", {"uid": f"{uid}-r", "run_start": uid, "spec": "AD_HDF5",
                          "root": str(folder), "resource_path": "frames.h5",
                          "resource_kwargs": {"frame_per_point": n_frames}})
        )  # fmt: skip
    elif style == "stream":
        made.append(
            ("stream_resource", {"uid": f"{uid}-r", "run_start": uid, "data_key": image,
                                 "mimetype": "application/x-hdf5",
                                 "uri": f"file://localhost{folder}/frames.h5",
                                 "parameters": {"dataset": "/entry/data/data"}})
        )  # fmt: skip
        made.append(("descriptor", descriptor))
    else:
        made.append(("descriptor", descriptor))
    for i in range(n_events):
        event: dict[str, Any] = {
            "uid": f"{uid}-{i}", "descriptor": f"{uid}-d", "seq_num": i + 1, "time": 2.0 + i,
            "data": {"m": 0.5 * i}, "timestamps": {"m": 2.0, image: 2.0},
        }  # fmt: skip
        if style == "inline":
            event["data"][image] = frames[i]
        elif style == "datum":
            event["data"][image] = f"{uid}-r/{i}"
            made.append(
                ("datum", {"datum_id": f"{uid}-r/{i}", "resource": f"{uid}-r",
                           "datum_kwargs": {"point_number": i}})
            )  # fmt: skip
        else:
            made.append(
                ("stream_datum", {"uid": f"{uid}-r/{i}", "stream_resource": f"{uid}-r",
                                  "descriptor": f"{uid}-d",
                                  "indices": {"start": i, "stop": i + 1},
                                  "seq_nums": {"start": i + 1, "stop": i + 2}})
            )  # fmt: skip
        made.append(("event", event))
    made.append(
        ("stop", {"uid": f"{uid}-s", "run_start": uid, "time": 9.0, "exit_status": "success",
                  "num_events": {"primary": n_events}})
    )  # fmt: skip
    return made


def made(rng: Random, number: int, folder: Path) -> Documents:
    """Documents to be given to a callback; the first ones are those that `_BY_HAND` makes."""
    if number < len(_BY_HAND):
        return _BY_HAND[number](folder)
    docs = run("a", folder, rng.choices(STYLES, [3, 1, 1])[0])
    if rng.random() < 0.1:
        docs = list(as_pages(docs))
    if rng.random() < 0.1:
        docs = [pair for both in zip(docs, run("b", folder), strict=False) for pair in both]
    for _ in range(rng.choice([1, 1, 2, 3, 5])):
        if docs:
            docs = rng.choice(_WAYS)(docs, rng, folder)
    return docs


def jsonable(rng: Random, number: int, folder: Path) -> Documents:
    """Documents as above, of values that JSON can hold; frames stand in a file beside."""
    docs = run("a", folder, rng.choice(STYLES[1:]))
    for _ in range(rng.choice([1, 1, 2, 4])):
        if docs:
            at = rng.randrange(len(docs))
            new = lambda: values.plain_value(rng, folder)  # noqa: E731
            docs[at] = (docs[at][0], values.damaged(docs[at][1], rng, new))
            if rng.random() < 0.3 and docs:
                docs = rng.choice(_ORDERS)(docs, rng, folder)
    return docs


# --- what is done to documents ----------------------------------------------------------------


def _shuffled(docs: Documents, rng: Random, folder: Path) -> Documents:
    return rng.sample(docs, len(docs))


def _swapped(docs: Documents, rng: Random, folder: Path) -> Documents:
    a, b = rng.randrange(len(docs)), rng.randrange(len(docs))
    docs = list(docs)
    docs[a], docs[b] = docs[b], docs[a]
    return docs


def _lost(docs: Documents, rng: Random, folder: Path) -> Documents:
    at = rng.randrange(len(docs))
    return docs[:at] + docs[at + rng.choice([1, 1, 2]) :]


def _twice(docs: Documents, rng: Random, folder: Path) -> Documents:
    at = rng.randrange(len(docs))
    doc = docs[at] if rng.random() < 0.5 else copy.copy(docs[at])
    to = rng.randrange(len(docs) + 1)
    return [*docs[:to], *[doc] * rng.choice([1, 1, 3]), *docs[to:]]


def _late(docs: Documents, rng: Random, folder: Path) -> Documents:
    at = rng.randrange(len(docs))
    return [*docs[:at], *docs[at + 1 :], docs[at]]


def _another_kind(docs: Documents, rng: Random, folder: Path) -> Documents:
    at = rng.randrange(len(docs))
    kinds = [name for name, _ in docs] + ["event_page", "datum_page", "bulk_events", "", "x" * 999]
    return [*docs[:at], (rng.choice(kinds), docs[at][1]), *docs[at + 1 :]]


def _damaged(docs: Documents, rng: Random, folder: Path) -> Documents:
    at = rng.randrange(len(docs))
    doc = values.damaged(docs[at][1], rng, lambda: values.value(rng, folder))
    return [*docs[:at], (docs[at][0], doc), *docs[at + 1 :]]


def _renamed(docs: Documents, rng: Random, folder: Path) -> Documents:
    """Detector, motor or run under another name, wherever it stands."""
    old, new = rng.choice(["det", "m", "a", "primary", IMAGE]), rng.choice(values.names(folder))

    def again(value: Any) -> Any:
        if isinstance(value, dict):
            return {again(k): again(v) for k, v in value.items()}
        if isinstance(value, list):
            return [again(v) for v in value]
        if isinstance(value, str):
            return new if value == old else value.replace(f"{old}_", f"{new}_")
        return value

    return [(name, again(doc)) for name, doc in docs]


def _other_frames(docs: Documents, rng: Random, folder: Path) -> Documents:
    """Frames of another shape, dtype or number than the descriptor says."""
    at = [i for i, (name, _) in enumerate(docs) if name == "event"]
    if not at:
        return docs
    i = rng.choice(at)
    data = docs[i][1].get("data")
    shape = rng.choice([(0, 8, 8), (2, 0, 8), (1, 8, 8), (3, 8, 8), (8, 8), (2, 9, 7), (), (5,),
                        (2, 2, 8, 8), (2, 1, 1), (2, 8, 0)])  # fmt: skip
    dtype = rng.choice("f8 f4 f2 i1 u1 >i4 <u8 i8 ? c8 U3 S2 O M8[s] m8[D] >f8".split())
    fill = rng.choice([0, 1, 2, 2**62]) if dtype in ("<u8", "i8") else rng.choice([0, 1])
    frames = np.full(shape, fill).astype(dtype)
    if frames.dtype.kind == "f" and frames.size:
        frames.flat[0] = rng.choice([np.nan, np.inf, -np.inf, np.finfo(dtype).max])
    if not isinstance(data, dict):
        return docs
    new: Any = frames.tolist() if rng.random() < 0.3 else frames
    return [*docs[:i], ("event", {**docs[i][1], "data": {**data, IMAGE: new}}), *docs[i + 1 :]]


def _numbered(docs: Documents, rng: Random, folder: Path) -> Documents:
    """Another number where a document counts."""
    keys = {"seq_num", "start", "stop", "point_number", "frame_per_point", "num_events", "time",
            "primary", "shape", "m"}  # fmt: skip
    docs = [(name, values.copied(doc)) for name, doc in docs]
    everywhere = (place for _, doc in docs for place in values.places(doc))
    found = [(holder, key) for holder, key in everywhere if key in keys]
    if found:
        holder, key = rng.choice(found)
        new = rng.choice(values.numbers())
        holder[key] = [new, new, new] if key == "shape" else new
    return docs


_ORDERS = (_shuffled, _swapped, _lost, _twice, _late)
_WAYS = (*_ORDERS, _another_kind, _damaged, _damaged, _damaged, _renamed, _other_frames, _numbered)


# --- by hand ----------------------------------------------------------------------------------


def _with(change: Callable[[str, dict[str, Any]], Any], style: str = "inline") -> Any:
    """A maker of a run each of whose documents has been changed."""

    def make(folder: Path) -> Documents:
        docs = copy.deepcopy(run("a", folder, style))
        for name, doc in docs:
            change(name, doc)
        return docs

    return make


def _only(*names: str) -> Any:
    return lambda folder: [(n, d) for n, d in run("a", folder) if n in names]


def _motors(*positions: Any) -> Any:
    return _with(
        lambda name, doc: (
            name == "event" and doc["data"].update(m=positions[doc["seq_num"] % len(positions)])
        )
    )


def _declared(*shape: Any, style: str = "stream") -> Any:
    def change(name: str, doc: dict[str, Any]) -> None:
        if name == "descriptor":
            doc["data_keys"][IMAGE]["shape"] = list(shape)

    return _with(change, style)


def _named(name: str, style: str, **changes: Any) -> Any:
    return _with(lambda kind, doc: kind == name and doc.update(changes), style)


def _flown(n: int) -> Any:
    """A flyer that says it has taken so many events in one stream_datum."""

    def make(folder: Path) -> Documents:
        docs = copy.deepcopy(run("a", folder, "stream", n_events=1))
        for name, doc in docs:
            if name == "descriptor":
                del doc["data_keys"]["m"]
            elif name == "start":
                del doc["motors"], doc["hints"]
            elif name == "stream_datum":
                doc["indices"] = {"start": 0, "stop": n}
                doc["seq_nums"] = {"start": 1, "stop": n + 1}
        return [pair for pair in docs if pair[0] != "event"]

    return make


def _bursts(n: Any, first: Any = 0) -> Any:
    """Events that say how long their bursts are."""

    def change(name: str, doc: dict[str, Any]) -> None:
        if name == "event":
            doc["data"] |= {"det_first_frame": first, "det_n_frames": n}
        elif name == "descriptor":
            for key in ("det_first_frame", "det_n_frames"):
                doc["data_keys"][key] = {"dtype": "integer", "shape": [], "source": "a"}

    return _with(change, "stream")


_BY_HAND: list[Callable[[Path], Documents]] = [
    _only("stop"), _only("event", "stop"), _only("start"), _only("start", "stop"), _only(),
    _only("descriptor"), _only("start", "event", "stop"), _only("start", "descriptor", "event"),
    lambda folder: [("stop", {})] * 5,
    lambda folder: [("start", {})] * 5,
    lambda folder: run("a", folder) * 3,
    lambda folder: run("a", folder)[::-1],
    lambda folder: [(name, None) for name, _ in run("a", folder)],  # type: ignore[misc]
    lambda folder: [(name, []) for name, _ in run("a", folder)],  # type: ignore[misc]
    lambda folder: [(name, {"a": values.nested(900)}) for name, _ in run("a", folder)],
    lambda folder: run("a", folder, detector="x" * 100_000),
    lambda folder: run("\0" * 50, folder, detector="../../marker"),
    lambda folder: run(f"{folder}/marker", folder, "stream", detector=f"{folder}/marker"),
    _motors(math.nan), _motors(math.inf, -math.inf), _motors(None), _motors(10**400),
    _motors("x" * 10**6), _motors([1, 2]), _motors(True, "1"), _motors(b"1"), _motors({}),
    _declared(2, 10**9, 10**9), _declared(10**9, 8, 8), _declared(0, 0, 0), _declared(-2, -8, -8),
    _declared(2**40, 2**40, 2**40), _declared(math.nan, 8, 8), _declared(10**12, 10**12, style="i"),
    _declared(10**9, 8, 8, style="datum"), _declared(*[1] * 40),
    _flown(10**4), _flown(10**18), _flown(-5),
    _bursts(0), _bursts(-3), _bursts(10**9), _bursts(2**70), _bursts(2, -1), _bursts(2, 10**18),
    _bursts(math.nan), _bursts("2", "0"), _bursts(1.5), _bursts(True), _bursts([2]),
    _named("stream_resource", "stream", uri="file:///dev/zero"),
    _named("stream_resource", "stream", uri="http://127.0.0.1:9/x"),
    _named("stream_resource", "stream", mimetype="multipart/related;type=image/tiff",
           uri="file:///dev", parameters={"template": "%s%s_%999999999d.tif"}),
    _named("stream_resource", "stream", mimetype="multipart/related;type=image/tiff",
           uri="file:///dev", parameters={"template": "zero"}),
    _named("stream_resource", "stream", mimetype="multipart/related;type=image/tiff",
           parameters={"template": "{:>99999999}"}),
    _named("stream_resource", "stream", parameters={"dataset": "/../../x" * 10_000}),
    _named("resource", "datum", resource_path="../../../../../../etc/passwd"),
    _named("resource", "datum", root="", resource_path="/dev/zero"),
    _named("resource", "datum", spec="AD_TIFF", resource_kwargs={"template": "%s%s%s%s%n"}),
    _named("resource", "datum", resource_kwargs={"frame_per_point": 10**9}),
]  # fmt: skip


# --- the door ---------------------------------------------------------------------------------


def analysis() -> LiveAnalysis:
    """A live analysis whose regions reach from one pixel to far beyond every frame."""
    return LiveAnalysis(
        {
            "near": Roi(x0=0, y0=0, x1=1, y1=1),
            "all": Roi(x0=0, y0=0, x1=10**9, y1=10**9),
            "far": Roi(x0=10**9 - 1, y0=0, x1=10**9, y1=2),
            "../../marker\0": Roi(x0=0, y0=0, x1=1, y1=1),
        }
    )


def followed(docs: Documents, folder: Path) -> str | None:
    """Give documents to a live analysis, then a run as it should be, which must be analysed."""
    live = analysis()
    if len(docs) % 7 == 3:
        live.read_as(directory=folder / "out")
    for name, doc in docs:
        live(name, doc)
    settled(live)
    live.result(), live.groups(), live.settings_record()
    words = [str(failure) for failure in live.failures]
    refused = ("; ".join(words)[:10_000] or "?") if words else None
    if len(repr(docs[:1])) % 5:  # most inputs go without: it takes longer than they do
        return refused
    n_failures = len(live.failures)
    for name, doc in run("of the witness", folder, detector="witness"):
        live(name, doc)
    settled(live)
    failures = live.failures[n_failures:]
    assert not failures, f"the next run was not analysed: {failures[0]!r}"
    means = live.result("of the witness").steps["witness_near_mean"].tolist()
    assert means == [32.0, 160.0], f"the next run was analysed wrongly: {means}"
    return refused


def settled(live: LiveAnalysis) -> None:
    """Wait until an analysis that works in a thread of its own has done so."""
    wait = getattr(live, "wait", None)
    if callable(wait):
        wait()


def pairs(docs: Documents) -> Iterator[Document]:
    """The documents, one after the other."""
    yield from docs
