"""Collect darks: dark levels, noise and hot pixels of detectors, and use them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import Field

from femto_bluesky.callbacks.live_analysis import LiveAnalysis
from femto_bluesky.files.darks import DarkFiles, write_darks
from femto_bluesky.model.darks import DARK_STREAM, DarkImages, DarkSum
from femto_bluesky.model.detectors import DETECTORS, DetectorSettings, settings_of
from femto_bluesky.model.outputs import Output
from femto_bluesky.model.results import DataGroup, Quantity
from femto_bluesky.model.shots import Shot
from femto_bluesky.stream.analysis import Analysis, AnalysisSettings, Row

log = logging.getLogger(__name__)

MAX_RUNS = 2
"""Runs that are remembered: the sums of a Balor take a quarter of a gigabyte for each."""


class DarkCollectionSettings(AnalysisSettings):
    """How hot pixels are told, and where dark frames are."""

    n_sigmas: float = Field(
        default=8.0,
        gt=0,
        description="a pixel is hot whose level or noise is above the median by this many times "
        "the spread of all pixels",
    )
    min_excess_adu: float = Field(
        default=5.0, ge=0, description="and by this; what is less does no harm to photons"
    )
    detector: str | None = Field(
        default=None, description="collect darks of this detector only; None: of every one"
    )
    stream: str = Field(default=DARK_STREAM, description="the event stream that holds dark frames")


class DarkCollection(Analysis):
    """Tells dark level, noise and hot pixels of each detector from frames taken in the dark.

    Subscribe it once: it looks at the stream that `plans.collect_dark` writes, and never at data.
    (`stream="primary"` takes a run for darks that was not recorded as such.) Each run begins anew;
    the newest two are remembered. Frames are handed on as they are.
    """

    settings: DarkCollectionSettings

    def __init__(
        self,
        n_sigmas: float = 8.0,
        min_excess_adu: float = 5.0,
        detector: str | None = None,
        stream: str = DARK_STREAM,
    ) -> None:
        given = {
            "n_sigmas": n_sigmas,
            "min_excess_adu": min_excess_adu,
            "detector": detector,
            "stream": stream,
        }
        super().__init__(DarkCollectionSettings.model_validate(given))
        self._runs: dict[str, dict[str, DarkSum]] = {}
        # what was told of a run, until another frame of it comes: medians take their time
        self._told: dict[str, dict[str, DarkImages]] = {}
        self.read_as(stream=stream)

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Change settings. Raises `ValueError` for `stream`: documents are read by it."""
        if changes.get("stream", self.settings.stream) != self.settings.stream:
            raise ValueError(
                "the stream cannot be changed while documents come; make a new DarkCollection"
            )
        super().configure(changes)
        self._told.clear()

    def __getstate__(self) -> dict[str, Any]:
        """What is sent to another process: the sums."""
        return super().__getstate__() | {"_told": {}}

    # the fold

    def update(self, shot: Shot) -> Shot:
        """Add the shot's frame to the sums of its run and detector."""
        if self._is_wanted(shot):
            sums = self._of_run(shot.run)
            if shot.detector not in sums:
                sums[shot.detector] = DarkSum(shot.frame.shape)
            sums[shot.detector].add(shot.number, shot.time, shot.frame.dense(), shot.frame.mask)
        return shot

    def retract(self, shot: Shot) -> Shot:
        """Take the frame out of the sums again."""
        self._told.pop(shot.run, None)
        sums = self._runs.get(shot.run, {})
        held = sums.get(shot.detector)
        if held is not None and shot.number in held.shots:
            held.take_out(shot.number, shot.frame.dense(), shot.frame.mask)
            if not held.shots:
                del sums[shot.detector]
            if not sums:
                del self._runs[shot.run]
        return shot

    def merge(self, other: Self) -> None:
        """Add the other's sums, run by run and detector by detector."""
        for run, theirs in other._runs.items():
            mine = self._of_run(run)
            for detector, held in theirs.items():
                if detector not in mine:
                    mine[detector] = DarkSum(held.shape)
                mine[detector].merge(held)

    def clear(self) -> None:
        """Forget all dark frames."""
        self._runs.clear()
        self._told.clear()

    def _is_wanted(self, shot: Shot) -> bool:
        return self.settings.detector in (None, shot.detector)

    def _of_run(self, run: str) -> dict[str, DarkSum]:
        """The sums of a run to add to, made where it is new; the longest untouched ones go."""
        self._runs[run] = self._runs.pop(run, {})
        self._told.pop(run, None)
        while len(self._runs) > MAX_RUNS:
            oldest = next(iter(self._runs))
            del self._runs[oldest]
            self._told.pop(oldest, None)
        return self._runs[run]

    # what it gives out

    def result(self, run: str | None = None) -> dict[str, DarkImages]:
        """The darks of a run (the newest), by the detectors' names. Images are read-only."""
        self.wait()
        run = self._newest() if run is None else run
        if run not in self._told:
            limits = {
                "n_sigmas": self.settings.n_sigmas,
                "min_excess_adu": self.settings.min_excess_adu,
            }
            self._told[run] = {
                detector: held.images(detector, run, **limits)
                for detector, held in sorted(self._runs.get(run, {}).items())
            }
        return dict(self._told[run])

    def save(self, directory: Path | str, run: str | None = None) -> dict[str, DarkFiles]:
        """Write the darks of a run (the newest) into `directory`, a new folder for each detector.

        Raises `ValueError` where there are none, `OutputError` where nothing can be written.
        """
        found = self.result(run)
        if not found:
            raise ValueError(
                "there are no dark frames to save; subscribe this DarkCollection and run "
                f"collect_dark first (dark frames are in the stream {self.settings.stream!r})"
            )
        settings = self.settings_record()
        return {name: write_darks(directory, images, settings) for name, images in found.items()}

    def outputs(self, detectors: Mapping[str, DetectorSettings]) -> list[Output]:
        """Of the run: level, noise, and the numbers of frames and hot pixels."""
        named = [name for name in detectors if self.settings.detector in (None, name)]
        return [output for name in named for output in _outputs(name)]

    def run_rows(self, run: str) -> dict[str, Row]:
        """Level, noise and hot pixels of all detectors, in the stream `darks`."""
        row: Row = {}
        for name, images in self.result(run).items():
            row |= {
                f"{name}_dark_level": images.level_adu,
                f"{name}_dark_noise": None if np.isnan(images.noise_adu) else images.noise_adu,
                f"{name}_n_dark_frames": images.n_frames,
                f"{name}_n_hot_pixels": int(np.count_nonzero(images.hot)),
                f"{name}_dark_level_image": images.level,
                f"{name}_dark_noise_image": images.noise,
            }
        return {"darks": row} if row else {}

    def groups(self, run: str | None = None) -> list[DataGroup]:
        """For each detector the images of the level and of the noise; hot pixels are masked."""
        self.wait()
        found = []
        for name, images in self.result(run).items():
            rows, columns = images.level.shape
            axes = (
                Quantity("y", np.arange(rows), units="px", long_name="row"),
                Quantity("x", np.arange(columns), units="px", long_name="column"),
            )
            n_hot = int(np.count_nonzero(images.hot))
            of = f"{name} in the dark, {images.n_frames} frames, {n_hot} hot pixels"
            for what, image, middle in (
                ("level", images.level, images.level_adu),
                ("noise", images.noise, images.noise_adu),
            ):
                found.append(
                    DataGroup(
                        path=f"dark_{what}/{name}",
                        title=f"{what.capitalize()} of {of}, median {middle:.4g} ADU",
                        signal=Quantity("image", image, "adu", what),
                        axes=axes,
                        mask=images.hot | np.isnan(image),
                        attributes={
                            "detector": name, "n_frames": images.n_frames, "n_hot_pixels": n_hot,
                        },
                    )
                )  # fmt: skip
        return found

    def _newest(self) -> str:
        """The run with the newest frame; the name decides between equal times."""
        times = {
            run: max((t for held in sums.values() for t in held.shots.values()), default=0.0)
            for run, sums in self._runs.items()
        }
        return max(times, key=lambda run: (times[run], run), default="")


def _outputs(name: str) -> list[Output]:
    return [
        Output(f"{name}_dark_level", "darks", name, "median of the pixels' dark levels",
               units="adu", hinted=True),
        Output(f"{name}_dark_noise", "darks", name, "median of the pixels' standard deviations "
               "from frame to frame (ddof=1)", units="adu", hinted=True),
        Output(f"{name}_n_dark_frames", "darks", name, "dark frames", "integer"),
        Output(f"{name}_n_hot_pixels", "darks", name, "pixels whose level or noise is far above "
               "the others'", "integer"),
        Output(f"{name}_dark_level_image", "darks", name, "dark level of each pixel", units="adu",
               is_image=True),
        Output(f"{name}_dark_noise_image", "darks", name, "standard deviation of each pixel from "
               "frame to frame (ddof=1)", units="adu", is_image=True),
    ]  # fmt: skip


def use_darks(live: LiveAnalysis, darks: Mapping[str, DarkFiles] | DarkFiles) -> None:
    """Have a LiveAnalysis take these darks from the next shot on; its derived runs say so.

    Each is for the detector that it is named after, for a dark image is of one sensor. A
    photon-counting camera gets the dark image and the mask of hot pixels for its photons, another
    one the dark image for its cleaning; those of other detectors stay as they are. Darks of a
    detector whose pixels are counts, such as a Pilatus, are passed over.

    Raises `ValueError`, and changes nothing, for files that cannot be read or do not fit, and for a
    detector that neither part looks at, because another one is named in its settings.
    """
    files = [darks] if isinstance(darks, DarkFiles) else list(darks.values())
    table = {**DETECTORS, **live.settings.detectors}
    photons, cmos = live.photons.settings, live.cleaning.settings
    levels: dict[str, dict[str, Path]] = {
        "photons": dict(photons.dark_files), "cmos": dict(cmos.dark_files)
    }  # fmt: skip
    hot = dict(photons.hot_pixel_files)
    used: dict[str, str] = {}
    for dark in files:
        known = settings_of(dark.detector, table)
        if known.kind == "counting":
            log.info("%s counts photons itself; its darks are not used", dark.detector)
            continue
        part = "photons" if photons.counts_on(dark.detector, known) else "cmos"
        if part == "cmos" and cmos.detector not in (None, dark.detector):
            raise ValueError(
                f"the darks of {dark.detector!r} cannot be used: 'cmos' of this LiveAnalysis is "
                f"confined to {cmos.detector!r}; configure it with detector=None first"
            )
        levels[part][dark.detector] = dark.level
        if part == "photons":
            hot[dark.detector] = dark.hot_pixels
        used[dark.detector] = part
    changes: dict[str, dict[str, Any]] = {}
    if "cmos" in used.values():
        changes["cmos"] = {"dark_files": levels["cmos"]}
    if "photons" in used.values():
        changes["photons"] = {"dark_files": levels["photons"], "hot_pixel_files": hot}
    live.configure(changes)
    for detector, part in used.items():
        log.info("%s of %s uses darks: %s", part, detector, levels[part][detector])
