"""What frames of each detector are integrated with, by the settings of `AzimuthalIntegration`."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.callbacks.azimuthal_settings import AzimuthalSettings, of_detector
from femto_bluesky.files.arrays import KeptImages
from femto_bluesky.kernels.binning import warm
from femto_bluesky.model.detectors import DetectorSettings
from femto_bluesky.model.geometry import Geometry
from femto_bluesky.model.radial import RadialBinning, RadialBins
from femto_bluesky.model.shots import Mask, Shot
from femto_bluesky.model.sums import Kind

log = logging.getLogger(__name__)

# Each holds two arrays of the size of a frame, 100 MB for 17 million pixels; the newest a third.
_MOST_KEPT = 4


class Binnings:
    """Makes what integrates frames of a kind once, and keeps it until settings change.

    What was prepared `before` is taken over where it can be used again. Mask files are read here,
    and not again: what happens to a file while frames come changes nothing. Raises `ValueError`
    where one cannot be read.
    """

    def __init__(self, settings: AzimuthalSettings, before: Binnings | None = None) -> None:
        self.settings = settings
        self._images: KeptImages = KeptImages() if before is None else before._images
        self._bins: dict[Kind, RadialBins] = {}
        self._made: dict[RadialBins, RadialBinning] = {} if before is None else dict(before._made)
        # bit by bit, and by names that bins have; frames may be taken back that had an earlier one
        self._masks: dict[str, tuple[tuple[int, ...], NDArray[np.uint8]]] = {}
        if before is not None:
            self._masks.update(before._masks)
        self._mask_of: dict[str, str] = {}
        for name, path in settings.mask_files.items():
            mask = self._images.read(path, "mask", np.bool_)
            bits = np.packbits(mask)
            digest = hashlib.sha256(bits.tobytes()).hexdigest()[:16]
            self._mask_of[name] = f"{mask.shape} {digest}"
            self._masks[self._mask_of[name]] = mask.shape, bits
        if settings.geometries:
            warm()
            import pyFAI.integrator.azimuthal  # noqa: F401 - before the first frame: it takes seconds

    def geometry(self, detector: str) -> Geometry | None:
        """Where a detector stands (the whole sensor); None where that is not known."""
        return of_detector(self.settings.geometries, detector)

    def compare_pixels(self, shot: Shot) -> None:
        """Warn of a geometry with pixels of another size than the frames have."""
        geometry, size = self.geometry(shot.detector), shot.pixel_size_m
        if geometry is None or size is None:
            return
        if not np.allclose(size, geometry.pixel_size_m, rtol=1e-2, atol=0):
            log.warning(
                "frames of %r have pixels of %s um, its geometry of %s um: binned, or the geometry "
                "of another detector? q is wrong unless they agree",
                shot.detector, _in_um(size), _in_um(geometry.pixel_size_m),
            )  # fmt: skip

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
                of_detector(self._mask_of, detector) or "",
            )  # fmt: skip
        return self._bins[kind]

    def of_now(self, detector: str) -> set[RadialBins]:
        """The bins in which frames of a detector are put now."""
        return {bins for (name, *_), bins in self._bins.items() if name == detector}

    def binning(self, bins: RadialBins) -> RadialBinning:
        """What puts frames into bins. Raises `ValueError` where that cannot be."""
        if bins not in self._made:
            if len(self._made) >= _MOST_KEPT:
                del self._made[next(iter(self._made))]
            self._made[bins] = RadialBinning(bins, self._mask(bins.mask))
        return self._made[bins]

    def _mask(self, name: str) -> Mask | None:
        if not name:
            return None
        shape, bits = self._masks[name]
        return np.unpackbits(bits, count=math.prod(shape)).reshape(shape).astype(np.bool_)

    def prepare(self, kinds: Iterable[Kind]) -> None:
        """Make what frames of these kinds will be integrated with, before the next one comes.

        That takes a second or more for a large frame. What cannot be is told with the next frame.
        """
        for kind in kinds:
            with contextlib.suppress(KeyError, ValueError):
                self.binning(self.bins(kind))

    def let_go_of_earlier(self) -> None:
        """Keep little of what was made for earlier settings: frames are taken back with it only."""
        now = set(self._bins.values())
        for bins, made in self._made.items():
            if bins not in now:
                made.let_go()

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


def _in_um(size_m: tuple[float, float]) -> str:
    return " x ".join(f"{1e6 * side:g}" for side in size_m)
