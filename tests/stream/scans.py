"""Simulated scans of every kind, what is true of them, and an analysis that sees it all."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import event_model
import numpy as np
from bluesky import plan_stubs as bps
from bluesky import plans as bp
from bluesky import preprocessors as bpp

from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.model.outputs import Output
from femto_bluesky.sources import jsonl
from femto_bluesky.stream.analysis import Analysis, AnalysisSettings
from femto_bluesky.testing.documents import as_pages, cut, split_runs
from femto_bluesky.testing.replayed import merged_order
from femto_bluesky.testing.runs import burst_scan, interleaved, run_plan

SHAPE = (4, 6)  # more than 16 pixels: a catalog keeps such arrays apart from its table


def numbered(index, position):
    """A frame like no other: its index and position can be read off it."""
    frame = np.arange(24, dtype=np.uint16).reshape(SHAPE) + np.uint16(100 * index)
    frame[0, 0] = round(10 * position)
    return frame


class Seen(Analysis):
    """Keeps every frame, which no real analysis does: (step, position, detector, pixels)."""

    def __init__(self):
        super().__init__(AnalysisSettings())
        self.shots = {}

    def update(self, shot):
        key = (shot.run, shot.number, shot.detector)
        assert key not in self.shots, "a shot came twice and was not taken back"
        pixels = shot.frame.dense().copy()
        self.shots[key] = (shot.step, dict(shot.position), dict(shot.labels), pixels)
        return shot

    def retract(self, shot):
        held = self.shots.pop((shot.run, shot.number, shot.detector))
        assert held[:2] == (shot.step, dict(shot.position))
        np.testing.assert_array_equal(held[3], shot.frame.dense())
        return shot

    def merge(self, other):
        self.shots |= other.shots

    def clear(self):
        self.shots.clear()

    def result(self):
        """For each run: for each step, its position and the frames of each detector, in order."""
        found = {}
        for (run, _, detector), (step, position, _, pixels) in sorted(
            self.shots.items(), key=lambda item: item[0]
        ):
            steps = found.setdefault(run, {})
            _, frames = steps.setdefault(step, (position, {}))
            frames.setdefault(detector, []).append(pixels.tolist())
        return {run: [steps[number] for number in sorted(steps)] for run, steps in found.items()}

    def outputs(self, detectors):
        return [
            output
            for name in detectors
            for output in (
                Output(f"{name}_sum", "primary", name, "sum of the step", hinted=True),
                Output(f"{name}_shot_sum", "shots", name, "sum of the shot"),
                Output(f"{name}_n", "accumulated", name, "frames", "integer"),
            )
        ]

    def shot_row(self, run, number):
        return {
            f"{detector}_shot_sum": float(held[3].sum())
            for (of, n, detector), held in self.shots.items()
            if (of, n) == (run, number)
        }

    def step_row(self, run, step):
        row = {}
        for (of, _, detector), held in self.shots.items():
            if of == run and held[0] == step:
                row[f"{detector}_sum"] = row.get(f"{detector}_sum", 0.0) + float(held[3].sum())
        return row

    def run_rows(self, run):
        names = [detector for of, _, detector in self.shots if of == run]
        return {"accumulated": {f"{name}_n": names.count(name) for name in dict.fromkeys(names)}}


@dataclass
class Scan:
    """What a simulated scan gave: its documents, and the detectors that know what they took."""

    documents: list
    detectors: dict
    live: dict = field(default_factory=dict)  # callbacks that saw it happen, by name

    def truth(self):
        """As `Seen.result`, worked out from the events that count: the last of each seq_num."""
        return {run[0][1]["uid"]: self._steps(run) for run in split_runs(self.documents)}

    def _steps(self, run):
        last = {}
        descriptors = {doc["uid"]: doc for name, doc in run if name == "descriptor"}
        for name, doc in run:
            if name == "event" and descriptors[doc["descriptor"]]["name"] == "primary":
                last[doc["seq_num"]] = doc
        motors = run[0][1].get("motors", ())
        steps, n_shots = [], 0
        for seq_num in sorted(last):
            data = last[seq_num]["data"]
            frames = {
                name: detector.truth(self._burst(detector, data[f"{name}_first_frame"])).tolist()
                for name, detector in self.detectors.items()
                if f"{name}_first_frame" in data
            }
            length = max(len(burst) for burst in frames.values())
            position = {motor: data[motor] for motor in motors} or {"frame": n_shots}
            if motors and length == 1 and steps and steps[-1][0] == position:
                for name, burst in frames.items():
                    steps[-1][1][name].extend(burst)
            else:
                steps.append((position, frames))
            n_shots += length
        return steps

    @staticmethod
    def _burst(detector, first_frame):
        (found,) = [b for b in detector.bursts if b.first_frame == first_frame]
        return found


def deep_rewind(detectors, motor, positions):
    """Events without a checkpoint between them; then a pause, which takes all of them again."""

    @bpp.stage_decorator(detectors)
    @bpp.run_decorator(
        md={
            "motors": [motor.name],
            "hints": {"dimensions": [[[motor.name], "primary"]]},
            "plan_type": "generator",
        }
    )
    def plan():
        yield from bps.checkpoint()
        for position in positions:
            yield from bps.mv(motor, position)
            yield from bps.trigger_and_read([*detectors, motor])
        yield from bps.pause()

    return plan()


def two_runs(detectors, motors):
    plans = [
        burst_scan([detector], motor, [1.0, 1.5, 2.0], pause_after_save=[1] if i else ())
        for i, (detector, motor) in enumerate(zip(detectors, motors, strict=True))
    ]
    return interleaved(*plans)


# situation: (plan of (detectors, motor), the answer to a pause, frames a burst of each detector)
POINTS = [1.0, 1.5, 2.0]
SITUATIONS = {
    "normal": (lambda d, m: burst_scan(d, m, POINTS), "resume", [3]),
    "rewind": (lambda d, m: burst_scan(d, m, POINTS, pause_after_save=[1]), "resume", [3]),
    "rewind of the first": (
        lambda d, m: burst_scan(d, m, POINTS, pause_after_save=[0]), "resume", [3]),
    "rewind of the last": (
        lambda d, m: burst_scan(d, m, POINTS, pause_after_save=[2]), "resume", [3]),
    "lost burst": (lambda d, m: burst_scan(d, m, POINTS, pause_before_read=[1]), "resume", [3]),
    "deep rewind": (lambda d, m: deep_rewind(d, m, POINTS), "resume", [3]),
    "stop": (lambda d, m: burst_scan(d, m, POINTS, pause_after_save=[1]), "stop", [3]),
    "abort": (lambda d, m: burst_scan(d, m, POINTS, pause_after_save=[1]), "abort", [3]),
    "stop before read": (
        lambda d, m: burst_scan(d, m, POINTS, pause_before_read=[2]), "stop", [3]),
    "abort before read": (
        lambda d, m: burst_scan(d, m, POINTS, pause_before_read=[2]), "abort", [3]),
    "short burst": (lambda d, m: burst_scan(d, m, POINTS, n_frames=[3, 2, 3]), "resume", [3]),
    "changing bursts": (lambda d, m: burst_scan(d, m, POINTS, n_frames=[3, 2, 4]), "resume", [3]),
    "reconfigured": (
        lambda d, m: burst_scan(d, m, POINTS, n_frames=[3, 2, 4], reconfigure=True),
        "resume", [3]),
    "two detectors": (
        lambda d, m: burst_scan(d, m, POINTS, pause_after_save=[1]), "resume", [3, 2]),
    "count": (lambda d, m: bp.count(d, num=3), "resume", [3]),
    "single frames": (
        lambda d, m: burst_scan(d, m, [1.0, 1.0, 2.0, 2.0, 2.0], pause_after_save=[3]),
        "resume", [1]),
}  # fmt: skip


def run_scan(situation, style, directory, **live):
    """Run a situation with detectors of a style; `live` are callbacks that see it happen."""
    if situation == "interleaved":
        motors = [SimulatedMotor(name="stage_x"), SimulatedMotor(name="stage_y")]
        names, lengths, on_pause = ["pilatus", "camera"], [3, 2], "resume"
    else:
        make_plan, on_pause, lengths = SITUATIONS["normal" if situation == "never stopped" else
                                                  situation]  # fmt: skip
        motors = [SimulatedMotor(name="stage_x")] * len(lengths)
        names = ["pilatus", "camera"]
    detectors = [
        SimulatedDetector(
            name=name, source=numbered, directory=directory, style=style,
            num_images=length, motor=motor,
        )
        for name, length, motor in zip(names, lengths, motors, strict=False)
    ]  # fmt: skip
    if situation == "interleaved":
        plan = two_runs(detectors, motors)
    else:
        plan = make_plan(detectors, motors[0])
    callbacks = list(live.values())
    if situation == "never stopped":
        callbacks = [_Cut(callback) for callback in callbacks]
    docs = run_plan(plan, *callbacks, on_pause=on_pause)
    if situation == "never stopped":
        docs = list(cut(docs))
    return Scan(docs, {detector.name: detector for detector in detectors}, live)


class _Cut:
    """Keeps the stop document from a callback."""

    def __init__(self, callback):
        self.callback = callback

    def __call__(self, name, doc):
        if name != "stop":
            self.callback(name, doc)

    def wait(self):
        return getattr(self.callback, "wait", bool)()


def primary_rows(documents):
    """The rows of the derived run's steps as a reader takes them: the last of each seq_num wins."""
    uids = {d["uid"] for n, d in documents if n == "descriptor" and d["name"] == "primary"}
    last = {
        doc["seq_num"]: doc["data"]
        for name, doc in documents
        if name == "event" and doc["descriptor"] in uids
    }
    return [last[number] for number in sorted(last)]


def true_rows(steps):
    """What the rows of `Seen` must say of the steps of one run."""
    rows = []
    for position, frames in steps:
        row = {**position, "n_shots": max(map(len, frames.values()))}
        row |= {f"{name}_sum": float(np.sum(burst)) for name, burst in frames.items()}
        rows.append(row)
    return rows


def assert_valid(documents):
    """Every document keeps its schema and is strict JSON."""
    for name, doc in documents:
        event_model.schema_validators[event_model.DocumentNames[name]].validate(doc)
        json.dumps(doc, allow_nan=False)


SCALARS = ("_first_frame", "_n_frames")


def without_report(name, doc):
    """A document of a detector that does not say where its frames are."""

    def kept(mapping):
        return {key: value for key, value in mapping.items() if not key.endswith(SCALARS)}

    if name == "descriptor":
        owners = {
            owner: [key for key in keys if not key.endswith(SCALARS)]
            for owner, keys in doc["object_keys"].items()
        }
        return doc | {"data_keys": kept(doc["data_keys"]), "object_keys": owners}
    if name == "event":
        return doc | {"data": kept(doc["data"]), "timestamps": kept(doc["timestamps"])}
    return doc


class Unreported:
    """Gives a callback the documents of a detector that does not say where its frames are."""

    def __init__(self, callback):
        self.callback = callback

    def __call__(self, name, doc):
        self.callback(name, without_report(name, doc))

    def wait(self):
        return self.callback.wait()


def json_round_trip(docs):
    def plain(value):
        return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)

    return json.loads(json.dumps(list(docs), default=plain))


def through_jsonl(docs, directory):
    path = Path(directory) / "run.jsonl"
    jsonl.write(docs, path)
    return list(jsonl.read(path))


SOURCES = {
    "list": lambda docs, directory: docs,
    "json": lambda docs, directory: json_round_trip(docs),
    "jsonl": through_jsonl,
    "pages of 2": lambda docs, directory: list(as_pages(docs, 2)),
    "pages of 3": lambda docs, directory: list(as_pages(docs, 3)),
    "merged": lambda docs, directory: list(merged_order(docs, batched=False)),
}
