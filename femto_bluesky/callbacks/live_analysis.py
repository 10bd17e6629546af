"""The beamline's pipeline as one callback with one derived run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from numpy.typing import NDArray
from pydantic import Field

from femto_bluesky.callbacks.accumulation import Accumulation
from femto_bluesky.callbacks.azimuthal_integration import AzimuthalIntegration
from femto_bluesky.callbacks.azimuthal_settings import IntegrationSettings, by_name
from femto_bluesky.callbacks.cmos_cleaning import CmosCleaning, CmosCleaningSettings
from femto_bluesky.callbacks.photon_detection import PhotonDetection
from femto_bluesky.callbacks.photon_settings import PhotonDetectionSettings
from femto_bluesky.callbacks.roi_means import RoiMeans
from femto_bluesky.model.detectors import DetectorSettings
from femto_bluesky.model.geometry import Geometry
from femto_bluesky.model.radial import RadialProfile
from femto_bluesky.model.results import DataGroup
from femto_bluesky.model.rois import Roi
from femto_bluesky.model.shots import Shot
from femto_bluesky.model.sums import AccumulatedImage
from femto_bluesky.model.warming import warm
from femto_bluesky.stream.analysis import CONFIGURE_S, AnalysisSettings, Pipeline
from femto_bluesky.stream.per_detector import PerDetector

if TYPE_CHECKING:
    from femto_bluesky.viewer import Access, ResultsServer


class LiveAnalysisSettings(AnalysisSettings):
    """All that can be set of the pipeline."""

    rois: Mapping[str, Roi] = Field(default={}, description="regions of interest by their names")
    accumulate: bool = Field(
        default=True, description="add frames to the sum; if not, forward the newest one"
    )
    photons: PhotonDetectionSettings = Field(
        default=PhotonDetectionSettings(), description="how photons are counted, and where"
    )
    cmos: CmosCleaningSettings = Field(
        default=CmosCleaningSettings(), description="how camera frames are cleaned"
    )
    geometries: Mapping[str, Geometry] = Field(
        default={},
        description="where detectors stand, by what their names begin with; for I(q) and rings",
    )
    azimuthal: IntegrationSettings = Field(
        default=IntegrationSettings(), description="how frames become I(q)"
    )
    detectors: Mapping[str, DetectorSettings] = Field(
        default={}, description="entries beside the table of detectors, by what names begin with"
    )
    stream: str = Field(default="primary", description="the event stream that holds the frames")


@dataclass(frozen=True, slots=True)
class LiveResult:
    """What the pipeline has found: columns of step means, and the sum of each detector.

    `photons` are the columns of `PhotonDetection.result`, of a run in which photons were counted,
    `azimuthal` is I(q) of the run on each detector whose geometry is known.
    """

    steps: dict[str, NDArray[Any]]
    accumulated: dict[str, AccumulatedImage]
    photons: dict[str, NDArray[Any]]
    azimuthal: dict[str, RadialProfile]


class LiveAnalysis(Pipeline):
    """Cleans by detector, then makes ROI means and accumulates, for any number of detectors.

    On the Balor photons are counted, and what is averaged and added up is their energy. Of
    detectors that stand in `geometries` (one alone is for all) there is I(q). `photons`,
    `cleaning`, `rois`, `accumulations` and `diffraction` are its parts, to be used on their own
    from the console: `live.accumulation().reset()` begins the sum and its I(q) anew. `directory`
    is where images of the derived runs, photon files and geometries are kept; with None, derived
    runs hold no images, and photon files go where the raw files are. Without `photon_files` there
    are none.
    """

    settings: LiveAnalysisSettings

    def __init__(
        self,
        rois: Mapping[str, Roi] | None = None,
        accumulate: bool = True,
        photons: PhotonDetectionSettings | Mapping[str, Any] | None = None,
        cmos: CmosCleaningSettings | Mapping[str, Any] | None = None,
        geometries: Geometry | Mapping[str, Geometry] | None = None,
        azimuthal: IntegrationSettings | Mapping[str, Any] | None = None,
        detectors: Mapping[str, DetectorSettings] | None = None,
        stream: str = "primary",
        directory: str | Path | None = None,
        photon_files: bool = True,
    ) -> None:
        given = {
            "rois": dict(rois or {}),
            "accumulate": accumulate,
            "photons": photons or {},
            "cmos": cmos or {},
            "geometries": by_name(geometries),
            "azimuthal": azimuthal or {},
            "detectors": dict(detectors or {}),
            "stream": stream,
        }
        settings = LiveAnalysisSettings.model_validate(given)
        warm()
        self.photons = PhotonDetection(**dict(settings.photons))
        self.cleaning = CmosCleaning(**dict(settings.cmos))
        self.rois = RoiMeans(settings.rois)
        self.accumulations = PerDetector(Accumulation(accumulating=settings.accumulate))
        self.diffraction = AzimuthalIntegration(
            settings.geometries, **dict(settings.azimuthal), accumulations=self.accumulations
        )
        self.diffraction.read_as(directory=directory)
        super().__init__(
            self.photons, self.cleaning, self.accumulations, self.rois, self.diffraction
        )
        self.settings = settings
        self.n_changes = 0
        """How often shots have changed what it shows: those who look see that it has moved on."""
        self.read_as(
            stream=stream,
            detectors=settings.detectors,
            directory=directory,
            photon_files=photon_files,
        )

    def update(self, shot: Shot) -> Shot:
        """Hand the shot through all parts."""
        handed_on = super().update(shot)
        self.n_changes += 1
        return handed_on

    def retract(self, shot: Shot) -> Shot:
        """Take the shot back from all parts."""
        handed_on = super().retract(shot)
        self.n_changes += 1
        return handed_on

    def accumulation(self, detector: str | None = None) -> Accumulation:
        """The accumulation of a detector; without a name, that of the only one seen.

        Raises `KeyError` where there is no such detector, or more than one to choose from.
        """
        return self.accumulations.get(detector)

    def result(self, run: str | None = None) -> LiveResult:
        """The step means and I(q) of a run (the newest), and the sums of all detectors."""
        self.wait()
        sums = self.accumulations.result()
        found = {name: image for name, image in sums.items() if image is not None}
        return LiveResult(
            self.rois.result(run), found, self.photons.result(run), self.diffraction.result(run)
        )

    def groups(self, run: str | None = None) -> list[DataGroup]:
        """The sums with regions and rings on them, the curves of regions, of photons, I(q)."""
        self.wait()
        images = [self.marked(group) for group in self.accumulations.groups(run)]
        curves = self.rois.groups(run) + self.photons.groups(run)
        return images + curves + self.diffraction.groups(run)

    def marked(self, image: DataGroup) -> DataGroup:
        """The image of a detector with its regions and rings on it."""
        detector = str(image.attributes["detector"])
        rois = {name: r for name, r in self.rois.settings.rois.items() if r.is_on(detector)}
        return self.diffraction.with_rings(replace(image, rois=rois))

    def fresh(self) -> Self:
        """A new pipeline with the settings as they are now, that has seen nothing."""
        new = type(self)(**dict(self._settings_now()))
        new._reading = self._reading
        new.diffraction._reading = self.diffraction._reading
        return new

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Change settings; from the next shot on they count, and the derived run says so.

        It waits for the shots that have come, but not for ever: 10 s.

        Of `photons`, `cmos` and `azimuthal`, which are settings themselves, only what is named is
        changed: `live.configure({"photons": {"energy_min_adu": 700}})`. `geometries` are given anew
        as a whole; the running sum is then integrated anew, and nothing of it is lost. Nothing is
        changed where a value is not allowed, or does not fit its file or the frames.

        Raises `ValueError` for that, and for `stream` and `detectors`: documents are read by them
        from the start.
        """
        self.wait(CONFIGURE_S)
        fixed = {"stream", "detectors"} & changes.keys()
        if fixed:
            raise ValueError(
                f"{sorted(fixed)} cannot be changed while documents come; make a new LiveAnalysis"
            )
        now = self._settings_now()
        # what is not named stays as it is, also in an accumulation that was stopped on its own
        wanted = {**dict(now), **changes}
        if "geometries" in changes:
            wanted["geometries"] = by_name(changes["geometries"])
        for part in {"photons", "cmos", "azimuthal"} & changes.keys():
            if isinstance(changes[part], Mapping):
                wanted[part] = {**dict(getattr(now, part)), **changes[part]}
        settings = LiveAnalysisSettings.model_validate(wanted)
        # before anything has been changed; what large frames need takes seconds, beside the scan
        diffraction = None
        if {"geometries", "azimuthal"} & changes.keys():
            diffraction = self.diffraction.check(
                dict(settings.azimuthal) | {"geometries": settings.geometries}
            )
        if "rois" in changes:
            self.rois.check(settings.rois)
        if "photons" in changes:
            self.photons.check(settings.photons)
        # frames may be coming in another thread: between two shots
        with self.shell.lock:
            if "cmos" in changes:
                self.cleaning.configure(dict(settings.cmos))
            if "photons" in changes:
                self.photons.configure(dict(settings.photons))
            if "rois" in changes:
                self.rois.configure({"rois": settings.rois})
            if diffraction is not None:
                self.diffraction.use(diffraction)
            if "accumulate" in changes:
                self.accumulations.configure({"accumulating": settings.accumulate})
            self.settings = settings

    def serve(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        access: Access | None = None,
        detector: str | None = None,
    ) -> ResultsServer:
        """Have this watched in a browser: the page, and the results for other viewers.

        Shown at the prompt, what is returned says the address; its `close()` ends it. All of it
        runs in a thread of its own, and neither the scan nor the analysis ever waits for a browser.
        Port 0 takes a free one. On this machine everybody may watch and change settings; at a
        `host` that others can reach there are two tokens, made at random where `access` brings
        none. `detector` is the one whose results stand at the top of the published tree.

        Raises `OSError` where the address cannot be had, and `ModuleNotFoundError` where what the
        page needs is not installed.
        """
        # of a layer above: who never asks for a page needs none of it (decision 14)
        try:
            from femto_bluesky.viewer import serve
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f"the page needs more than is installed ({error}): pip install "
                "'femto-bluesky[viewer]'", name=error.name,
            ) from error  # fmt: skip
        return serve(self, host, port, access=access, detector=detector)

    def settings_record(self) -> dict[str, Any]:
        """The settings as they are in the parts, as plain data."""
        return self._settings_now().model_dump(mode="json")

    def _is_accumulating(self) -> bool:
        """What all detectors' accumulations do; where they differ, what new ones will do."""
        states = {part.settings.accumulating for part in list(self.accumulations.of.values())}
        return (
            states.pop() if len(states) == 1 else self.accumulations.pattern.settings.accumulating
        )

    def _settings_now(self) -> LiveAnalysisSettings:
        """The settings with those of the parts, which can be changed on their own."""
        parts = {
            "rois": self.rois.settings.rois,
            "photons": self.photons.settings,
            "cmos": self.cleaning.settings,
            "accumulate": self._is_accumulating(),
            "geometries": self.diffraction.settings.geometries,
            "azimuthal": IntegrationSettings.model_validate(
                self.diffraction.settings.model_dump(exclude={"geometries"})
            ),
        }
        return self.settings.model_copy(update=parts)
