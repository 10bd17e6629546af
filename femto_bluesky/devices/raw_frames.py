"""A camera whose raw frames need not be kept: photons of them are, and are far smaller.

Frames that are gone cannot be analysed again. So a camera with `save_raw` off must be given a
`photon_keeper`, which is asked twice: before a run, whether photons will be found and kept; and
after it, whether those of every frame in the file are on disk. Only then is the file deleted.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import h5py
from bluesky import Msg
from bluesky.preprocessors import msg_mutator
from bluesky.utils import MsgGenerator
from ophyd import Component, Signal

from femto_bluesky.devices.burst_detector import BurstDetector
from femto_bluesky.devices.frame_files import DATASET
from femto_bluesky.devices.hdf5_plugin import DetectorError
from femto_bluesky.files.opening import open_hdf5
from femto_bluesky.model.detectors import NOT_KEPT

log = logging.getLogger(__name__)


class RawFramesError(DetectorError):
    """Raw frames are not to be kept, and nobody keeps their photons."""


class PhotonKeeper(Protocol):
    """Who sees to it that the photons of a camera are kept; `PhotonWitness` is one.

    Both answer with the reason why not, or None where all is well.
    """

    def why_not_trusted(self, detector: str) -> str | None:
        """Why a run may not be begun whose raw frames will be deleted."""

    def why_not_safe(self, raw: Path, n_frames: int) -> str | None:
        """Why a file with so many raw frames may not be deleted."""


class DispensableFrames(BurstDetector):
    """A camera with `save_raw`; switched off, a file goes when its photons are surely kept.

    Configuration: `<name>_save_raw`. Staging raises `RawFramesError`, with the reason, where it is
    off and `photon_keeper` is missing or not to be trusted. A file is deleted when it is unstaged,
    and only where the IOC is there, `save_raw` is still off and the keeper has answered for every
    frame; else it stays, and the log says why.
    """

    save_raw = Component(Signal, value=True, kind="config")
    own_configuration = (*BurstDetector.own_configuration, "save_raw")

    photon_keeper: PhotonKeeper | None = None
    _is_dispensable = False

    def stage(self) -> list[object]:
        """Begin a new file, unless its photons would be lost."""
        self._is_dispensable = False
        if not self.save_raw.get():
            reason = "no photon_keeper is set"
            if self.photon_keeper is not None:
                reason = self.photon_keeper.why_not_trusted(self.name) or ""
            if reason:
                raise RawFramesError(
                    f"{self.name}: raw frames are not to be kept ({self.name}.save_raw is off), "
                    f"but their photons might not be kept either: {reason}. See to that, or switch "
                    f"{self.name}.save_raw on"
                )
        staged = super().stage()
        self._is_dispensable = not self.save_raw.get()
        return staged

    def unstage(self) -> list[object]:
        """Close the file, and delete it where nobody needs it."""
        is_dispensable = self._is_dispensable and not self.save_raw.get()
        self._is_dispensable = False
        is_there = self.cam.acquire.connected
        raw = self.hdf5.file
        unstaged = super().unstage()
        is_there = is_there and self.cam.acquire.connected
        if is_dispensable and raw is not None:
            reason = self._why_not_deleted(raw) if is_there else "the IOC is gone"
            if reason is None:
                raw.unlink()
                log.info("%s: deleted %s; its photons are kept", self.name, raw)
            else:
                log.warning("%s: %s is kept after all: %s", self.name, raw, reason)
        return unstaged

    def keep_this_file(self) -> None:
        """Keep the file of this staging, whatever `save_raw` says."""
        self._is_dispensable = False

    def _why_not_deleted(self, raw: Path) -> str | None:
        if self.photon_keeper is None:
            return "no photon_keeper is set any more"
        try:
            with open_hdf5(raw) as file:
                frames = file.get(DATASET)
                n_frames = len(frames) if isinstance(frames, h5py.Dataset) else None
            if n_frames is None:
                return f"it has no dataset {DATASET}"
            return self.photon_keeper.why_not_safe(raw, n_frames)
        except Exception as failure:
            # a plan has to end, and whatever goes wrong here is a reason to keep the file
            return f"{type(failure).__name__}: {failure}"


def note_what_is_not_kept(plan: MsgGenerator[Any]) -> MsgGenerator[Any]:
    """The plan, whose runs say in their start documents which raw frames are not kept.

    For ``RE.preprocessors.append(note_what_is_not_kept)``: the key `NOT_KEPT` lists the staged
    detectors with `save_raw` off. A run without such detectors is as it was, and so is one of darks
    (`purpose: dark`): those are kept, for they hold no photons.
    """
    staged: dict[str, DispensableFrames] = {}

    def note(msg: Msg) -> Msg:
        if msg.command == "stage" and isinstance(msg.obj, DispensableFrames):
            if not msg.obj.save_raw.get():
                staged[msg.obj.name] = msg.obj
        elif msg.command == "unstage":
            staged.pop(getattr(msg.obj, "name", ""), None)
        elif msg.command == "open_run" and msg.kwargs.get("purpose") == "dark":
            for detector in staged.values():
                detector.keep_this_file()
        elif msg.command == "open_run" and staged:
            kwargs: Mapping[str, Any] = {**msg.kwargs, NOT_KEPT: list(staged)}
            return msg._replace(kwargs=kwargs)
        return msg

    return (yield from msg_mutator(plan, note))
