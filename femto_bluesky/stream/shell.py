"""The shell that makes an analysis a Bluesky callback with a derived run.

It is the one place where documents meet analyses. Whatever goes wrong in a run stops the analysis
of that run only: it is logged, kept in `failures`, and stands in the derived stop document. The
RunEngine never sees an exception, and never waits: see `worker`.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from femto_bluesky.model.detectors import DETECTORS
from femto_bluesky.model.outputs import Output
from femto_bluesky.model.rois import RoiError
from femto_bluesky.stream.derived import DerivedRun, plain
from femto_bluesky.stream.events import (
    Document,
    Item,
    Joined,
    JoinedEvent,
    Released,
    RunEnded,
    RunFailed,
    RunStarted,
    RunStopped,
    as_it_is_now,
)
from femto_bluesky.stream.frames import FrameError
from femto_bluesky.stream.joiner import Joiner
from femto_bluesky.stream.photon_files import FIRST_PHOTON, PhotonFiles
from femto_bluesky.stream.pulse import Pulse
from femto_bluesky.stream.reading import DocumentReading
from femto_bluesky.stream.shots import ShotMaker, label_columns, label_keys
from femto_bluesky.stream.spool import Spool
from femto_bluesky.stream.status import Status
from femto_bluesky.stream.steps import FRAME_AXIS, Step, Steps, motor_fields
from femto_bluesky.stream.subscribers import Subscribers
from femto_bluesky.stream.worker import Worker

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
    behind: deque[JoinedEvent] = field(default_factory=deque)  # not all of their frames are there
    failure: Exception | None = None


class Shell:
    """Joins documents to shots, hands each to the analysis, and emits the derived run.

    `lock` is held whenever the analysis is asked, for one shot at a time, never while frames are
    read or documents are sent. Who looks at results from another thread holds it too, and briefly.
    """

    def __init__(
        self, analysis: Analysis, reading: DocumentReading, subscribers: Subscribers | None = None
    ) -> None:
        self.subscribers = subscribers or Subscribers()
        self.failures: list[Exception] = []
        self.lock = threading.RLock()
        self.pulse = Pulse()
        self._analysis = analysis
        self._reading = reading
        self._joining = threading.RLock()  # of the joiner, and what is known of it
        self._released: list[Released] = []
        self._given_up: set[str] = set()
        self._joiner = Joiner(
            reading.stream, lambda source: self._released.append(Released(source))
        )
        self._shots = ShotMaker({**DETECTORS, **reading.detectors})
        self._runs: dict[str, _Run] = {}
        self._spool = Spool(reading.directory)
        self.worker: Worker[Item] = Worker(self._take)

    def __call__(self, name: str, doc: Document) -> None:
        """Take in one document; never raises, and never holds up an event loop.

        Which frames an event has is found at once, for the file that they are in goes on growing;
        the rest is done when there is time for it.
        """
        for item in self._joined(name, doc):
            self.worker(item)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until what has come so far is analysed; False when it took too long.

        Who holds the lock, which the analysis needs, does not wait.
        """
        return self.lock._is_owned() or self.worker.wait(timeout_s)  # type: ignore[attr-defined]

    def status(self) -> Status:
        """How it does now."""
        backlog, pulse = self.worker.backlog, self.pulse
        return Status(
            pulse.n_shots, backlog.n_waiting, backlog.oldest_s, backlog.at_work_s,
            tuple(pulse.open_runs), self.problems,
            tuple(f"{type(failure).__name__}: {failure}" for failure in self.failures),
        )  # fmt: skip

    @property
    def problems(self) -> tuple[str, ...]:
        """What cannot be written now, and waits until it can."""
        return tuple(r.photons.problem for r in list(self._runs.values()) if r.photons.problem)

    def _joined(self, name: str, doc: Document) -> list[Item]:
        """What a document completes, in the order in which it is to be taken."""
        items: list[Item] = []
        with self._joining:
            uid, self._released = None, []
            try:
                uid = self._joiner.run_of(name, doc)
                if name == "start":
                    self._given_up.discard(doc["uid"])  # it may be replayed anew
                if uid not in self._given_up:
                    items.extend(map(self._for_later, self._joiner.receive(name, doc)))
            except Exception as failure:
                # isolated here, whatever it is: an analysis must not stop a scan
                items.append(RunFailed(uid, failure))
                self._give_up(uid)
            if name == "stop" and uid is not None:
                self._given_up.discard(uid)
                items.append(RunEnded(uid, doc))
                self._forget(uid)
            return [*items, *self._released]

    def _for_later(self, joined: Joined) -> Joined:
        """What was joined, in a form that can wait."""
        found = as_it_is_now(joined)
        if isinstance(found, JoinedEvent) and self.worker.backlog.n_waiting:
            return self._spool.kept(found)
        return found

    def _give_up(self, uid: str | None) -> None:
        """Join no more documents of a run."""
        if uid is not None:
            self._given_up.add(uid)
            self._forget(uid)

    def _forget(self, uid: str) -> None:
        """Let go of what the joiner holds of a run."""
        try:
            self._joiner.forget(uid)
        except Exception:
            # it costs memory, and no more
            log.exception("what was joined of run %s is not forgotten", uid)

    def _take(self, item: Item) -> None:
        uid = None
        try:
            if isinstance(item, RunStarted):
                uid = item.start["uid"]
                self._start(item.start)
            elif isinstance(item, JoinedEvent):
                uid = item.start["uid"]
                run = self._runs.get(uid)
                if run is not None and run.failure is None:
                    self._events(run, item)
            elif isinstance(item, RunStopped):
                uid = item.start["uid"]
                run = self._runs.get(uid)
                if run is not None and run.failure is None:
                    self._end(run, uid)
            elif isinstance(item, RunFailed):
                uid = item.run
                raise item.failure
            elif isinstance(item, RunEnded):
                uid = item.run
                if uid in self._runs:
                    self._end_derived(uid, item.stop)
            else:
                item.source.close()
        except Exception as failure:
            # isolated here, whatever it is: an analysis must not stop a scan
            self._fail(uid, failure)

    def _start(self, start: Document) -> None:
        if start["uid"] in self._runs:
            # replayed anew after it was broken off
            self._end_derived(
                start["uid"], {"reason": "the run was begun again before it had stopped"}
            )
        reading = self._reading
        derived = DerivedRun(
            start, type(self._analysis).__name__, self._analysis.settings_record(),
            self.subscribers.send, reading.directory,
        )  # fmt: skip
        photons = PhotonFiles(derived, reading.directory, is_wanted=reading.photon_files)
        self._runs[start["uid"]] = _Run(derived, photons)
        self.pulse.start(start)

    def _events(self, run: _Run, event: JoinedEvent) -> None:
        """Analyse an event, and before it those whose frames are there by now; in their order."""
        numbers = [other.seq_num for other in run.behind]
        if event.seq_num in numbers:  # taken again before it could be analysed
            place = numbers.index(event.seq_num)
            event.replaces = run.behind[place].replaces
            run.behind[place] = event
        else:
            run.behind.append(event)
        # what writes the file may be behind
        while run.behind and all(burst.is_there for burst in run.behind[0].bursts.values()):
            self._event(run, run.behind.popleft())

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
        is_same = run.described == described
        if is_same and not again:
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
        if outputs != run.outputs or not (again and is_same):
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

    def _end(self, run: _Run, uid: str) -> None:
        """What is left when all events of a run have come."""
        for event in run.behind:
            for burst in event.bursts.values():
                burst.check()
            self._event(run, event)
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
            "run %s is not analysed further: %s", uid, failure,
            exc_info=None if is_told else failure,
        )  # fmt: skip
        # it is kept, and its traceback must not keep the last frame
        traceback.clear_frames(failure.__traceback__)
        if uid is None:
            return
        run = self._runs.get(uid)
        if run is not None:
            run.failure = failure
        with self._joining:
            self._released = []
            self._give_up(uid)
            released = self._released
        for item in released:
            item.source.close()

    def _end_derived(self, uid: str, stop: Document) -> None:
        run = self._runs.pop(uid)
        self.pulse.stop(uid)
        run.photons.close()
        told = []
        if run.failure is not None:
            name, failure = type(self._analysis).__name__, run.failure
            told.append(f"{name}: {type(failure).__name__}: {failure}")
        if run.photons.failure is not None:
            self.failures.append(run.photons.failure)
            told.append(f"photons were not written: {run.photons.failure}")
        if told:
            run.derived.stop("fail", "; ".join(told))
            return
        reason = stop.get("reason") or ""
        if "exit_status" not in stop:
            reason = reason or "the run has not stopped: its stop document is missing"
        run.derived.stop(stop.get("exit_status", "fail"), reason)
