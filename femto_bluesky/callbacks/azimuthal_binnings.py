"""What frames of each detector are integrated with, by the settings of `AzimuthalIntegration`."""

from __future__ import annotations

import numpy as np

from femto_bluesky.callbacks.azimuthal_settings import AzimuthalSettings, of_detector
from femto_bluesky.files.arrays import KeptImages
from femto_bluesky.kernels.binning import warm
from femto_bluesky.model.detectors import DetectorSettings
from femto_bluesky.model.geometry import Geometry
from femto_bluesky.model.radial import RadialBinning, RadialBins
from femto_bluesky.model.sums import Kind

# Each holds two arrays of the size of a frame: 100 MB for 17 million pixels.
_MOST_KEPT = 4


class Binnings:
    """Makes what integrates frames of a kind once, and keeps it until settings change.

    What was prepared `before` is taken over where it can be used again. Raises `ValueError` where
    a mask file cannot be read.
    """

    def __init__(self, settings: AzimuthalSettings, before: Binnings | None = None) -> None:
        self.settings = settings
        self._images: KeptImages = KeptImages() if before is None else before._images
        self._bins: dict[Kind, RadialBins] = {}
        # by a mask's place in memory, which is its own: what was made with it holds on to it
        made = {} if before is None else dict(before._made)
        self._made: dict[tuple[RadialBins, int], RadialBinning] = made
        for path in settings.mask_files.values():
            self._images.read(path, "mask", np.bool_)
        if settings.geometries:
            warm()
            import pyFAI.integrator.azimuthal  # noqa: F401 - before the first frame: it takes seconds

    def geometry(self, detector: str) -> Geometry | None:
        """Where a detector stands (the whole sensor); None where that is not known."""
        return of_detector(self.settings.geometries, detector)

    def bins(self, kind: Kind) -> RadialBins:
        """The bins of frames of a kind. Raises `KeyError` where no geometry is known of them."""
        if kind not in self._bins:
            detector, shape, origin = kind
            geometry = self.geometry(detector)
            if geometry is None:
                raise KeyError(f"no geometry is known of {detector!r}; give one in geometries")
            used = self.settings
            self._bins[kind] = RadialBins(
                geometry.for_region(origin), shape, used.n_bins, used.q_range,
                used.correct_solid_angle, used.polarisation,
            )  # fmt: skip
        return self._bins[kind]

    def of_now(self, detector: str) -> set[RadialBins]:
        """The bins in which frames of a detector are put now."""
        return {bins for (name, *_), bins in self._bins.items() if name == detector}

    def binning(self, detector: str, bins: RadialBins) -> RadialBinning:
        """What puts frames of a detector into bins. Raises `ValueError` where that cannot be."""
        path = of_detector(self.settings.mask_files, detector)
        mask = None if path is None else self._images.read(path, "mask", np.bool_)
        key = bins, id(mask)
        if key not in self._made:
            if len(self._made) >= _MOST_KEPT:
                del self._made[next(iter(self._made))]
            self._made[key] = RadialBinning(bins, mask)
        return self._made[key]

    def counts_per_photon(
        self, known: DetectorSettings, *, is_real: bool, bins: RadialBins
    ) -> float:
        """What one photon adds to a pixel, see the settings; `is_real`: pixels are no integers."""
        if self.settings.counts_per_photon is not None:
            return self.settings.counts_per_photon
        if known.photons is not None:
            return known.photons.photon_adu
        return bins.geometry.energy_kev if known.kind == "counting" and is_real else 1.0

    def __getstate__(self) -> dict[str, object]:
        """What is sent to another process: the settings, without what was prepared."""
        return self.__dict__ | {"_made": {}, "_images": KeptImages()}
