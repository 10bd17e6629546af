"""Clean camera frames: dark level off, and what stays below a threshold counts as nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from numpy.typing import NDArray
from pydantic import Field

from femto_bluesky.files.arrays import read_image
from femto_bluesky.kernels import cmos
from femto_bluesky.model.shots import DenseFrame, Shot, ThresholdedFrame
from femto_bluesky.stream.analysis import Analysis, AnalysisError, AnalysisSettings
from femto_bluesky.stream.between_shots import between_shots
from femto_bluesky.stream.used_settings import UsedSettings


class CmosCleaningSettings(AnalysisSettings):
    """How camera frames are cleaned."""

    dark_adu: float | None = Field(
        default=None, ge=0, description="dark level; None: what the table of detectors says"
    )
    threshold_adu: float | None = Field(
        default=None,
        ge=0,
        description="less than this above the dark level counts as 0; None: as the table says",
    )
    dark_file: Path | None = Field(
        default=None, description="a .npy image of dark levels, instead of one level for all pixels"
    )
    dark_files: Mapping[str, Path] = Field(
        default={}, description="the same for each detector by its name, before dark_file"
    )
    detector: str | None = Field(
        default=None,
        description="clean the frames of this detector only; None: of every detector with a dark "
        "level, here or in the table, that is not a photon-counting one",
    )

    def of(self, detector: str) -> Self:
        """The settings for one detector: its own dark image is `dark_file`."""
        if not self.dark_files:
            return self
        own = self.dark_files.get(detector, self.dark_file)
        return self.model_copy(update={"dark_file": own, "dark_files": {}})


class CmosCleaning(Analysis):
    """Hands on each frame less its dark level, with 0 where the rest is below the threshold.

    A frame of a detector without a dark level (a photon-counting one, an unknown one) is handed on
    as it is. It keeps no frame. The dark image must have the frames' shape: `ValueError`.
    """

    settings: CmosCleaningSettings

    def __init__(
        self,
        dark_adu: float | None = None,
        threshold_adu: float | None = None,
        dark_file: Path | str | None = None,
        dark_files: Mapping[str, Path | str] | None = None,
        detector: str | None = None,
    ) -> None:
        given = {
            "dark_adu": dark_adu,
            "threshold_adu": threshold_adu,
            "dark_file": dark_file,
            "dark_files": dark_files or {},
            "detector": detector,
        }
        super().__init__(CmosCleaningSettings.model_validate(given))
        self._dark_images: dict[Path, NDArray[Any]] = {}
        self._prepared: dict[tuple[Any, ...], tuple[NDArray[Any], Any]] = {}
        self._used: UsedSettings[CmosCleaningSettings] = UsedSettings()

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Change settings. A dark image is read at once (again, where its name is the same).

        Raises `ValueError`, and changes nothing, where it cannot be read.
        """
        wanted = self.settings.model_validate({**dict(self.settings), **changes})
        paths = {*wanted.dark_files.values(), wanted.dark_file} - {None}
        images = {path: read_image(path, "dark image") for path in paths if path is not None}
        with between_shots(self):
            super().configure(changes)
            self._prepared.clear()
            self._dark_images |= images

    def update(self, shot: Shot) -> Shot:
        """Hand the shot on with its frame cleaned."""
        self._used.note(shot, self.settings)
        return self._cleaned(shot, self.settings)

    def retract(self, shot: Shot) -> Shot:
        """Hand the shot on cleaned as `update` did, also when settings have changed since."""
        return self._cleaned(shot, self._used.of(shot) or self.settings)

    def merge(self, other: Self) -> None:
        """There is nothing to merge."""

    def clear(self) -> None:
        """Forget which settings were used for which shots."""
        self._used.clear()

    def result(self) -> None:
        """Cleaning has no result of its own."""

    def _cleaned(self, shot: Shot, settings: CmosCleaningSettings) -> Shot:
        frame, settings = shot.frame, settings.of(shot.detector)
        if not isinstance(frame, DenseFrame) or not self._is_cleaned(shot, settings):
            return shot
        dark, threshold = self._for(shot, frame, settings)
        return shot.with_frame(ThresholdedFrame(frame.pixels, dark, threshold, frame.mask))

    def _is_cleaned(self, shot: Shot, settings: CmosCleaningSettings) -> bool:
        if settings.detector is not None:
            return settings.detector == shot.detector
        if shot.known.kind == "counting":
            return False
        has_dark = settings.dark_adu is not None or settings.dark_file is not None
        return has_dark or shot.known.dark_adu is not None

    def _for(
        self, shot: Shot, frame: DenseFrame, settings: CmosCleaningSettings
    ) -> tuple[NDArray[Any], Any]:
        """Dark rows and threshold in the frame's type, made once for each kind of frame."""
        dtype = frame.dtype
        dark_adu = shot.known.dark_adu if settings.dark_adu is None else settings.dark_adu
        if dark_adu is None and settings.dark_file is None:
            raise AnalysisError(
                f"CmosCleaning is to clean {shot.detector!r}, for which the table of detectors has "
                "no dark level; give dark_adu or dark_file"
            )
        threshold = settings.threshold_adu
        if threshold is None:
            threshold = shot.known.threshold_adu
        key = (frame.shape, dtype, settings.dark_file, dark_adu, threshold)
        if key not in self._prepared:
            if len(self._prepared) > 16:
                self._prepared.clear()
            dark: Any = dark_adu if settings.dark_file is None else self._image(settings.dark_file)
            try:
                rows = cmos.dark_rows(dark, frame.shape, dtype)
                self._prepared[key] = rows, cmos.threshold_in_type(threshold, dtype)
            except ValueError as error:
                raise AnalysisError(f"cleaning the frames of {shot.detector!r}: {error}") from error
        return self._prepared[key]

    def _image(self, path: Path) -> NDArray[Any]:
        if path not in self._dark_images:
            self._dark_images[path] = read_image(path, "dark image")
        return self._dark_images[path]
