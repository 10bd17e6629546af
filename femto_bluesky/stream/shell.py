"""The shell that makes an analysis a Bluesky callback with a derived run.

It is the one place where documents meet analyses. Whatever goes wrong in a run stops the analysis
of that run only: it is logged, kept in `failures`, and stands in the derived stop document. The
RunEngine never sees an exception.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from femto_bluesky.model.detectors import DETECTORS, DetectorSettings
from femto_bluesky.model.outputs import Output
from femto_bluesky.model.rois import RoiError
from femto_bluesky.stream.derived import DerivedRun, plain
from femto_bluesky.stream.events import Document, Joined, JoinedEvent, RunStarted, RunStopped
from femto_bluesky.stream.frames import FrameError
from femto_bluesky.stream.joiner import Joiner
from femto_bluesky.stream.photon_files import FIRST_PHOTON, PhotonFiles
from femto_bluesky.stream.pulse import Pulse
from femto_bluesky.stream.shots import ShotMaker, label_columns, label_keys
from femto_bluesky.stream.steps import FRAME_AXIS, Step, Steps, motor_fields
from femto_bluesky.stream.subscribers import Subscribers

if TYPE_CHECKING:
    from femto_bluesky.stream.analysis import Analysis, Row

log = logging.getLogger(__name__)


class AnalysisError(ValueError):
    """Frames and settings that do not go together; the message says what to do about it."""


@dataclass(slots=True)
class _Run:
    """What is known of a run that is being analysed."""

    derived: DerivedRun
    photons: PhotonFiles
    steps: Steps = field(default_factory=Steps)
    open_step: Step | None = None
    last_time: float = 0.0
    # what events of streams other than `primary` and `shots` are of, and their numbers
    seq_nums: dict[str, dict[int | None, int]] = field(default_factory=dict)
    described: tuple[str, Any] | None = None
    outputs: list[Output] = field(default_factory=list)
    failure: Exception | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """How documents are read.

    `stream` names the event stream that holds the frames; `detectors` are settings beside the
    package's own table, by what detectors' names begin with; `directory` is where images of the
    derived run are kept (None: it has numbers only), and its photon files (None: beside the raw
    files). Without `photon_files`, photons are counted and not kept.
    """

    stream: str = "primary"
    detectors: Mapping[str, DetectorSettings] = field(default_factory=dict)
    directory: Path | None = None
    photon_files: bool = True


class Shell:
    """Joins documents to shots, hands each to the analysis, and emits the derived run.

    `lock` is held whenever the analysis is asked, for one shot at a time, never while frames are
    read or documents are sent. Who looks at results from another thread holds it too, and briefly.
    """

    def __init__(
        self, analysis: Analysis, reading: Reading, subscribers: Subscribers | None = None
    ) -> None:
        self.subscribers = subscribers or Subscribers()
        self.failures: list[Exception] = []
        self.lock = threading.RLock()
        self.pulse = Pulse()
        self._analysis = analysis
        self._reading = reading
        self._joiner = Joiner(reading.stream)
        self._shots = ShotMaker({**DETECTORS, **reading.detectors})
        self._runs: dict[str, _Run] = {}

    def __call__(self, name: str, doc: Document) -> None:
        """Take in one document; never raises."""
        uid = None
        try:
            uid = self._joiner.run_of(name, doc)
            run = self._runs.get(uid or "")
            if run is None or run.failure is None:
                for joined in self._joiner.receive(name, doc):
                    self._take(joined)
        except Exception as failure:
            # isolated here, whatever it is: an analysis must not stop a scan
            self._fail(uid, failure)
        if name == "stop" and uid in self._runs:
            try:
                self._stop(uid, doc)
            except Exception as failure:
                self._fail(uid, failure)

    def _take(self, joined: Joined) -> None:
        if isinstance(joined, RunStarted):
            self._start(joined.start)
        elif isinstance(joined, JoinedEvent):
            run = self._runs.get(joined.start["uid"])
            if run is not None:  # None: the derived run could not be begun, which has been said
                self._event(run, joined)
        elif isinstance(joined, RunStopped):
            self._end(joined.start["uid"])

    def _start(self, start: Document) -> None:
        if start["uid"] in self._runs:
            # replayed anew after it was broken off
            self._end_derived(
                start["uid"], {"reason": "the run was begun again before it had stopped"}
            )
        derived = DerivedRun(
            start,
            type(self._analysis).__name__,
            self._analysis.settings_record(),
            self.subscribers.send,
            self._reading.directory,
        )
        photons = PhotonFiles(
            derived, self._reading.directory, is_wanted=self._reading.photon_files
        )
        self._runs[start["uid"]] = _Run(derived, photons)
        self.pulse.start(start)

    def _event(self, run: _Run, event: JoinedEvent) -> None:
        self.pulse.event(event.start["uid"], event.seq_num)
        if not event.bursts and event.replaces is None:
            return  # of a detector without frames, such as a spectrometer
        motors = motor_fields(event.start, event.descriptor, self._reading.stream)
        if event.replaces is not None:
            before = run.steps.of(event.seq_num)
            for shot in self._shots.shots(event.replaces, before):
                with self.lock:
                    self._analysis.retract(shot)
                run.photons.retract(shot)
        step = run.steps.place(event, motors)
        if run.open_step is not None and run.open_step.number != step.number:
            self._emit_step(run, event.start["uid"], run.open_step)
        with self.lock:
            is_new = self._describe(run, event, motors)
        run.last_time = float(event.doc["time"])
        for shot in self._shots.shots(event, step):
            with self.lock:
                handed_on = self._analysis.update(shot)
            self.pulse.shot(run.last_time)
            index = shot.number - step.first_shot
            run.photons.take(handed_on, event.bursts[shot.detector], index)
        if is_new:
            # the first frames may have shown that something is left out; no row is out yet
            with self.lock:
                self._describe(run, event, motors, again=True)
        run.photons.flush(step.number, is_retake=event.replaces is not None, is_whole=step.is_whole)
        self._emit_shots(run, event, step)
        run.open_step = None if step.is_whole else step
        if step.is_whole:
            self._emit_step(run, event.start["uid"], step)

    def _describe(
        self, run: _Run, event: JoinedEvent, motors: list[str], *, again: bool = False
    ) -> bool:
        """Have the derived run say what its rows hold: at first, and when settings change.

        False where that was said already, unless it is to be said `again`.
        """
        settings = self._analysis.settings_record()
        described = (event.descriptor["uid"], settings)
        if run.described == described and not again:
            return False
        run.described = described
        owner = {
            key: name
            for name, keys in event.descriptor.get("object_keys", {}).items()
            for key in keys
        }
        axes = {}
        for motor in motors:
            entry: dict[str, Any] = plain(event.descriptor["data_keys"][motor])
            axes[motor] = entry | {"object_name": owner.get(motor, motor)}
        if not motors:
            axes[FRAME_AXIS] = {
                "source": "femto_bluesky", "dtype": "integer", "dtype_numpy": "<i8",
                "shape": [], "object_name": FRAME_AXIS,
            }  # fmt: skip
        detectors = {name: self._shots.known(name) for name in event.bursts}
        outputs = self._analysis.outputs(detectors)
        outputs = [*self._own_outputs(event, motors, outputs), *outputs]
        if outputs != run.outputs or not again:
            run.outputs = outputs
            run.derived.describe(outputs, settings, axes)
        return True

    def _own_outputs(
        self, event: JoinedEvent, motors: list[str], others: Iterable[Output]
    ) -> Iterator[Output]:
        """What every derived run has, whatever the analysis."""
        yield Output("n_shots", "primary", "", "shots of the step", "integer")
        yield Output("step", "shots", "", "the step of the shot, from 0", "integer")
        yield Output("shot", "shots", "", "number of the shot in the run, from 0", "integer")
        for key in label_keys(event.descriptor):
            if key not in motors:
                yield Output(key, "shots", "", "label of the shot, from the raw event")
        for detector in dict.fromkeys(output.detector for output in others if output.column):
            for stream in ("shots", "primary"):
                text = "row of the stream of photons where its photons begin, from 0"
                yield Output(f"{detector}{FIRST_PHOTON}", stream, detector, text, "integer")

    def _emit_shots(self, run: _Run, event: JoinedEvent, step: Step) -> None:
        labels = label_columns(event, step)
        numbers = range(step.first_shot, step.first_shot + step.n_shots)
        with self.lock:
            rows: list[Row] = [
                {"step": step.number, "shot": number}
                | {key: column[index] for key, column in labels.items()}
                | self._analysis.shot_row(event.start["uid"], number)
                | run.photons.of_shot(number)
                for index, number in enumerate(numbers)
            ]
        run.derived.rows("shots", rows, step.first_shot + 1, run.last_time)

    def _emit_step(self, run: _Run, uid: str, step: Step) -> None:
        row: Row = {**step.position, "n_shots": run.steps.n_shots(step.number)}
        with self.lock:
            row |= self._analysis.step_row(uid, step.number)
            further = self._analysis.step_rows(uid, step.number)
        row |= run.photons.of_step(step.number)
        run.derived.rows("primary", [row], step.number + 1, run.last_time)
        for stream, of_stream in further.items():
            self._emit_one(run, stream, step.number, of_stream)

    def _emit_one(self, run: _Run, stream: str, step: int | None, row: Row) -> None:
        """One event of a step, or (None) of the run; a step taken again keeps its number."""
        numbers = run.seq_nums.setdefault(stream, {})
        number = numbers.setdefault(step, len(numbers) + 1)
        run.derived.rows(stream, [row], number, run.last_time)

    def _end(self, uid: str) -> None:
        """What is left when all events of a run have come."""
        run = self._runs.get(uid)
        if run is None:
            return
        if run.open_step is not None:
            self._emit_step(run, uid, run.open_step)
        if run.described is not None:
            with self.lock:
                found = self._analysis.run_rows(uid)
            for stream, row in found.items():
                self._emit_one(run, stream, None, row)

    def _fail(self, uid: str | None, failure: Exception) -> None:
        self.failures.append(failure)
        self.pulse.failed_run(uid)
        # what the package says of the input says it all; of other errors the place is needed
        is_told = isinstance(failure, (AnalysisError, FrameError, RoiError))
        log.error(
            "run %s is not analysed further: %s",
            uid,
            failure,
            exc_info=None if is_told else failure,
        )
        if uid is None:
            return
        self._joiner.forget(uid)
        run = self._runs.get(uid)
        if run is not None:
            run.failure = failure

    def _stop(self, uid: str, stop: Document) -> None:
        self._joiner.forget(uid)
        self._end_derived(uid, stop)

    def _end_derived(self, uid: str, stop: Document) -> None:
        run = self._runs.pop(uid)
        self.pulse.stop(uid)
        run.photons.close()
        if run.failure is None and run.photons.failure is not None:
            self.failures.append(run.photons.failure)
            run.derived.stop("fail", f"photons were not written: {run.photons.failure}")
        elif run.failure is None:
            reason = stop.get("reason") or ""
            if "exit_status" not in stop:
                reason = reason or "the run has not stopped: its stop document is missing"
            run.derived.stop(stop.get("exit_status", "fail"), reason)
        else:
            name = type(run.failure).__name__
            run.derived.stop("fail", f"{type(self._analysis).__name__}: {name}: {run.failure}")
