"""A real scan from the recording to the results, and what starting up costs."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cbor2
import numpy as np
import pytest

from femto_bluesky import Roi, replay
from femto_bluesky.callbacks import LiveAnalysis

LAB6 = Path(__file__).parents[2] / "shared" / "data" / "lab6"
RECORDING = [LAB6 / "pilatus.cbors.gz", LAB6 / "sardana.cbors"]

needs_recording = pytest.mark.skipif(
    not LAB6.is_dir(), reason=f"the LaB6 recording is not there: put it into {LAB6}"
)


class Forward(io.RawIOBase):
    """A compressed file that is only read forward; cbor2 would seek back in one that can."""

    def __init__(self, path: Path) -> None:
        self._file = gzip.open(path)  # noqa: SIM115

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)


def plain_loop() -> float:
    """The least that has to be done: inflate, decode, and add up the valid pixels in numpy."""
    decoder, total = cbor2.CBORDecoder(Forward(RECORDING[0])), np.zeros((831, 1475))
    for _ in range(32):
        header, *payload = decoder.decode().value[1]["pilatus"].value[1]
        if json.loads(header)["htype"] == "image":
            frame = np.frombuffer(payload[0], "<f4").reshape(total.shape)
            np.add(total, frame, out=total, where=frame >= 0)
    return float(total.sum())


@needs_recording
def bench_replay_of_lab6(ratio: Any) -> None:
    """30 frames of 831x1475 from .cbors.gz to step means and the accumulated image."""

    def whole() -> None:
        live = LiveAnalysis({"ROI 2": Roi(x0=600, y0=220, x1=700, y1=400)})
        replay(RECORDING, live)
        assert live.accumulation().result().n_frames == 30

    ratio(whole, plain_loop, goal=1.5, than="inflate, decode and np.add alone", rounds=7)


def bench_start_up(ratio: Any) -> None:
    """Import the analyses and see a first shot: a new process each time, compiled code cached."""

    def start(code: str) -> None:
        subprocess.run([sys.executable, "-c", code], check=True)

    ours = (
        "import numpy as np; from femto_bluesky.callbacks import LiveAnalysis; "
        "from femto_bluesky.model.shots import DenseFrame, Shot; "
        "LiveAnalysis().update(Shot('run', 0, 0, 'pilatus', DenseFrame(np.zeros((9, 9), 'f4'))))"
    )
    others = "import bluesky.run_engine, event_model, h5py, numba, pydantic"
    ratio(
        lambda: start(ours),
        lambda: start(others),
        goal=None,  # told apart: it is paid once a session
        than="importing bluesky, event_model, h5py, numba and pydantic",
        rounds=5,
    )
