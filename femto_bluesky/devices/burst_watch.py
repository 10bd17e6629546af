"""Bursts of a camera behind an areaDetector IOC: asked for, and watched until they are in the file.

A burst has ended when the camera does not acquire any more and its frames are in the file, or when
nothing more comes. What is waited for, and why: `Acquire_RBV` and `NumCaptured_RBV` are monitored;
a frame may come after the camera has stopped, of a plugin with a queue; a camera that refuses to
acquire never changes its readback; and a frame whose writing has failed is counted as captured, but
`WriteStatus` tells.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import ophyd
from ophyd import DeviceStatus
from ophyd.utils.errors import DisconnectedError

from femto_bluesky.devices.hdf5_plugin import SETTLE_S, DetectorError

log = logging.getLogger(__name__)

STOP_S = 5.0
"""How long a camera may take to stop."""

GONE = (TimeoutError, DisconnectedError)
"""What ophyd raises where an IOC does not answer."""


class DetectorLostError(DetectorError):
    """A detector whose IOC went away while frames were taken."""


class _AbandonedError(Exception):
    """Nobody waits for a burst any more."""


def is_gone(detector: Any, failure: Exception) -> bool:
    """Whether a question to the IOC has failed because it went away.

    The control layer's own exceptions are of many kinds, and may come before the connection is
    known to be lost.
    """
    if isinstance(failure, GONE):
        return True
    deadline = time.monotonic() + SETTLE_S
    while detector.cam.acquire.connected and time.monotonic() < deadline:
        time.sleep(0.02)
    return not detector.cam.acquire.connected


class BurstWatch:
    """Takes the bursts of one staging of a `BurstDetector`, one after the other.

    `detector.note_burst` is told of each. Made when the detector is staged; `end()` ends it.
    """

    def __init__(self, detector: Any) -> None:
        self._detector = detector
        self._cam, self._hdf5 = detector.cam, detector.hdf5
        self._news = threading.Event()
        self._is_ended = threading.Event()
        self._is_acquiring = False
        self._has_write_error = False
        self._n_captured = 0
        self._burst: threading.Thread | None = None
        self._hdf5.num_captured.subscribe(self._captured, run=True)
        self._hdf5.write_status.subscribe(self._wrote, run=False)
        self._cam.acquire.subscribe(self._acquired, run=False)
        self._cam.acquire.subscribe(self._connected, event_type="meta", run=False)

    def take(self) -> DeviceStatus:
        """Take a burst, after the one that is being taken; see `BurstDetector.trigger`."""
        if not self._cam.acquire.connected:
            raise self._lost()
        status = DeviceStatus(self._detector)
        # of the control layer, for Channel Access wants its context in each thread
        self._burst = ophyd.cl.thread_class(
            target=self._take,
            args=(status, self._burst),
            name=f"{self._detector.name} burst",
            daemon=True,
        )
        self._burst.start()
        return status

    def end(self) -> None:
        """Watch no more. In the middle of a burst the camera is stopped."""
        self._is_ended.set()
        self._news.set()
        if self._burst is not None and self._burst.is_alive():
            if self._cam.acquire.connected:
                try:
                    self._cam.acquire.set(0).wait(STOP_S)
                except Exception as failure:
                    # whatever it is, the file has to be closed
                    log.warning("%s: the camera does not stop: %s", self._detector.name, failure)
            self._burst.join(STOP_S)
        self._hdf5.num_captured.clear_sub(self._captured)
        self._hdf5.write_status.clear_sub(self._wrote)
        self._cam.acquire.clear_sub(self._acquired)
        self._cam.acquire.clear_sub(self._connected)

    def _take(self, status: DeviceStatus, before: threading.Thread | None) -> None:
        try:
            if before is not None:
                before.join()  # a pause in the middle of a burst: the camera is still at work
            first = int(self._hdf5.num_captured.get())
            n_frames = int(self._cam.num_images.get())
            self._n_captured = first
            self._has_write_error = False
            self._is_acquiring = True
            if not self._is_ended.is_set():
                self._cam.acquire.put(1, wait=False)
            taken = self._wait(first, n_frames)
            if self._has_write_error or self._hdf5.write_status.get():
                raise self._not_written()
            self._detector.note_burst(first, taken)
        except _AbandonedError:
            # Not a failure, as with ophyd's own triggers: the RunEngine listens to the end of a
            # run, and RE.stop in the middle of a burst would become an error.
            log.warning(
                "%s was unstaged in the middle of a burst: its frames are of no event",
                self._detector.name,
            )
            status.set_finished()
        except Exception as failure:
            # in a thread of its own nobody else would hear of it
            if not isinstance(failure, DetectorError) and is_gone(self._detector, failure):
                lost = self._lost()
                lost.__cause__ = failure
                failure = lost
            status.set_exception(failure)
        else:
            status.set_finished()

    def _wait(self, first: int, n_frames: int) -> int:
        """Wait for the frames of a burst; return how many came."""
        quiet_since = time.monotonic()
        while True:
            if self._news.wait(SETTLE_S / 4):
                quiet_since = time.monotonic()
            self._news.clear()
            if self._is_ended.is_set():
                raise _AbandonedError
            if not self._cam.acquire.connected:
                raise self._lost()
            taken = self._n_captured - first
            if taken == n_frames and not self._is_acquiring:
                return taken
            if time.monotonic() - quiet_since > SETTLE_S:
                # whatever monitors said, one of which may not have come
                self._is_acquiring = self._is_busy()
                taken = int(self._hdf5.num_captured.get()) - first
                if not self._is_acquiring:
                    return taken if taken == n_frames else self._of_other_length(taken, n_frames)
                quiet_since = time.monotonic()

    def _is_busy(self) -> bool:
        """Whether the camera acquires, or is still asked to (its busy record)."""
        acquire = self._cam.acquire
        return bool(acquire.get()) or bool(getattr(acquire, "get_setpoint", acquire.get)())

    def _of_other_length(self, taken: int, n_frames: int) -> int:
        name, message = self._detector.name, self._hdf5.write_message.get() or "none"
        if taken < 1:
            raise DetectorError(
                f"{name}: the camera has stopped and no frame is in {self._hdf5.file}, expected "
                f"{n_frames}; look at the camera's and the HDF5 plugin's page (dropped arrays, "
                f"disk). The plugin's message: {message}"
            )
        log.warning(
            "%s: a burst has %d frames, expected %d; the event says so. The plugin's message: %s",
            name, taken, n_frames, message,
        )  # fmt: skip
        return taken

    def _not_written(self) -> DetectorError:
        return DetectorError(
            f"{self._detector.name}: the HDF5 plugin could not write a frame of the burst to "
            f"{self._hdf5.file}; is the disk full? The plugin's message: "
            f"{self._hdf5.write_message.get() or 'none'}"
        )

    def _lost(self) -> DetectorLostError:
        return DetectorLostError(
            f"{self._detector.name}: the IOC {self._detector.prefix} is gone in the middle of a "
            "run; frames that were written before are good. Restart the IOC, then the scan"
        )

    # what monitors say

    def _captured(self, value: Any = None, **_: Any) -> None:
        self._n_captured = int(value or 0)
        self._news.set()

    def _wrote(self, value: Any = None, **_: Any) -> None:
        self._has_write_error = self._has_write_error or bool(value)

    def _acquired(self, value: Any = None, **_: Any) -> None:
        if value in (0, "Done"):
            self._is_acquiring = False
            self._news.set()

    def _connected(self, connected: bool = True, **_: Any) -> None:
        if not connected:
            self._news.set()
