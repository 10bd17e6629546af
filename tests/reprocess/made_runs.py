"""Runs of a night, made by hand: documents, and files of frames beside them."""

from __future__ import annotations

import time
from pathlib import Path

import h5py
import numpy as np

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.model.rois import Roi
from femto_bluesky.sources.replay import replay
from femto_bluesky.stream.analysis import Analysis, AnalysisSettings
from femto_bluesky.testing.laws import given_out

SHAPE = (24, 32)


class ShotsSeen(Analysis):
    """Hands on every shot and notes its name: what `given_out` is asked about."""

    def __init__(self):
        super().__init__(AnalysisSettings())
        self.seen = {}

    def update(self, shot):
        self.seen[shot.run, shot.number, shot.detector] = shot
        return shot

    def retract(self, shot):
        del self.seen[shot.run, shot.number, shot.detector]
        return shot

    def merge(self, other):
        self.seen |= other.seen

    def clear(self):
        self.seen.clear()

    def result(self):
        return list(self.seen)


class Own(Analysis):
    """A user's own: the sums of all frames by delay, and a shot that it cannot bear."""

    def __init__(self, worst: int = -1):
        super().__init__(OwnSettings(worst=worst))
        self.sums = {}

    def update(self, shot):
        if shot.number == self.settings.worst:
            raise ValueError(f"shot {shot.number} is not to be borne")
        at = shot.position["delay"]
        self.sums[at] = self.sums.get(at, 0) + int(shot.frame.dense().sum(dtype=np.int64))
        return shot

    def merge(self, other):
        for at, total in other.sums.items():
            self.sums[at] = self.sums.get(at, 0) + total

    def clear(self):
        self.sums.clear()

    def result(self):
        return dict(sorted(self.sums.items()))


class Slow(Own):
    """Takes its time."""

    def update(self, shot):
        time.sleep(0.01)
        return super().update(shot)


class OwnSettings(AnalysisSettings):
    """At which shot it raises."""

    worst: int = -1


def frames_of(number, n, shape=SHAPE, dtype=np.uint16):
    """Frames of run `number` like no others."""
    rng = np.random.default_rng(number)
    return rng.poisson(3, (n, *shape)).astype(dtype)


def a_run(
    directory,
    number=0,
    *,
    delays=(0.0, 0.5, 1.0),
    burst=5,
    shape=SHAPE,
    detectors=("pilatus",),
    inline=False,
    labels=True,
    start=None,
    compressed=False,
):
    """The documents of a delay scan: an event for each delay, with a burst of each detector."""
    uid = f"{number:04d}-run"
    began = 1e9 + 1000 * number
    keys = {"delay": {"dtype": "number", "shape": [], "source": "sim"}}
    object_keys, configuration, resources = {"delay": ["delay"]}, {}, []
    if labels:
        keys["laser"] = {"dtype": "array", "shape": [burst], "source": "sim"}
        object_keys["laser"] = ["laser"]
    stacks = {}
    for index, name in enumerate(detectors):
        keys[f"{name}_image"] = {
            "dtype": "array", "shape": [burst, *shape], "source": "sim", "dtype_numpy": "<u2",
            "dims": ["frame", "y", "x"],
        }  # fmt: skip
        for end in ("first_frame", "n_frames"):
            keys[f"{name}_{end}"] = {"dtype": "integer", "shape": [], "source": "sim"}
        object_keys[name] = [f"{name}_{end}" for end in ("image", "first_frame", "n_frames")]
        stacks[name] = frames_of(100 * number + index, burst * len(delays), shape)
        if not inline:
            keys[f"{name}_image"]["external"] = "STREAM:"
            path = Path(directory) / f"{number:04d}_{name}.h5"
            with h5py.File(path, "w") as file:
                kinds = {"chunks": (1, *shape), "compression": "gzip"} if compressed else {}
                file.create_dataset("data", data=stacks[name], **kinds)
            resource = {
                "uid": f"{uid}-{name}", "run_start": uid, "data_key": f"{name}_image",
                "mimetype": "application/x-hdf5", "uri": f"file://localhost{path}",
                "parameters": {"dataset": "data"},
            }  # fmt: skip
            resources.append(("stream_resource", resource))
    yield (
        "start",
        {
            "uid": uid, "scan_id": number, "time": began, "plan_name": "scan",
            "motors": ["delay"], "hints": {"dimensions": [[["delay"], "primary"]]},
            "sample": {"name": ("LaB6", "Si")[number % 2]},
        } | dict(start or {}),
    )  # fmt: skip
    descriptor = {
        "uid": f"{uid}-d", "run_start": uid, "time": began, "name": "primary", "data_keys": keys,
        "object_keys": object_keys, "configuration": configuration, "hints": {},
    }  # fmt: skip
    yield "descriptor", descriptor
    yield from resources
    for index, delay in enumerate(delays):
        data = {"delay": delay}
        if labels:
            data["laser"] = [float((index + shot) % 2) for shot in range(burst)]
        for name in detectors:
            data |= {f"{name}_first_frame": index * burst, f"{name}_n_frames": burst}
            if inline:
                data[f"{name}_image"] = stacks[name][index * burst : (index + 1) * burst]
            else:
                yield (
                    "stream_datum",
                    {
                        "uid": f"{uid}-{name}/{index}", "stream_resource": f"{uid}-{name}",
                        "descriptor": f"{uid}-d",
                        "indices": {"start": index, "stop": index + 1},
                        "seq_nums": {"start": index + 1, "stop": index + 2},
                    },
                )  # fmt: skip
        yield (
            "event",
            {
                "uid": f"{uid}-{index}", "descriptor": f"{uid}-d", "seq_num": index + 1,
                "time": began + index + 1, "data": data,
                "timestamps": dict.fromkeys(data, began), "filled": {},
            },
        )  # fmt: skip
    yield (
        "stop",
        {
            "uid": f"{uid}-s", "run_start": uid, "time": began + 900, "exit_status": "success",
            "num_events": {"primary": len(delays)},
        },
    )  # fmt: skip


def pipeline(**settings):
    """The beamline's analysis with a region."""
    return LiveAnalysis({"spot": Roi(x0=3, y0=4, x1=11, y1=9)}, **settings)


def straight(make, runs):
    """What one process gives that replays the runs one after the other, and the shots seen."""
    analysis, seen = make(), ShotsSeen()
    for run in runs:
        replay(run, analysis, seen)
    return given_out(analysis, list(seen.seen.values())), list(seen.seen.values())
