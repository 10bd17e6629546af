"""I(q): images and photons summed in bins of q, exactly.

I(q) is the counts in a bin over the weights of the pixels in it: the sum of signals over the sum of
norms, not a mean of quotients (J. Kieffer et al., J. Appl. Cryst. 58 (2025) 138; G. Ashiotis et
al., J. Appl. Cryst. 48 (2015) 510). pyFAI gives the q of each pixel and its norm, the solid angle
times the polarisation. Signal and norm are those of its `integrate1d` without pixel splitting to
the last bit, but for images of fractions of counts, which pyFAI rounds to float32 (6e-8).

A pixel belongs to one bin, the one of its centre. Splitting it among bins would smooth the curve,
but then neighbouring bins share counts: their errors are correlated, and the Poisson error of a
bin is too small for what it says. It would also round, so that the order of frames changed bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.kernels import binning
from femto_bluesky.model.cake import CakeBinning, CakeBins
from femto_bluesky.model.geometry import Geometry
from femto_bluesky.model.photons import PhotonFrame
from femto_bluesky.model.pixel_arrays import UNIT, q_and_norm_of_pixels, q_of_pixels
from femto_bluesky.model.shots import Frame, Mask
from femto_bluesky.model.sums import AccumulatedImage, sum_dtype

Floats = NDArray[np.float64]

_CARRY = 62
# How pyFAI makes the last bin hold the largest q: by one step of float32.
_UPPER = 1 + float(np.finfo(np.float32).eps)


class RadialError(ValueError):
    """Frames that cannot be integrated; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class RadialBins:
    """Which bins of q: sums that agree in all of this can be added.

    `geometry` is that of frames of this `shape`; `q_range` in 1/A, None for all that the frame
    has, masked pixels too, so that bins do not depend on masks (pyFAI's do); `polarisation` as in
    pyFAI, None for no correction. `mask` names the mask that is not the frames' own, "" for none.
    """

    geometry: Geometry
    shape: tuple[int, int]
    n: int = 1000
    q_range: tuple[float, float] | None = None
    correct_solid_angle: bool = True
    polarisation: float | None = None
    mask: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class RadialProfile:
    """I(q) of some frames.

    `q` are the middles of the bins in 1/A. `signal` is the counts in each bin, `norm` the pixels
    in it, each as often as it was valid, weighted by solid angle and polarisation. `intensity` is
    their quotient, counts a frame and pixel, and `sigma` its Poisson error; both are NaN where a
    bin has no pixel. `n_frames` is how many frames it is of.
    """

    q: Floats
    intensity: Floats
    sigma: Floats
    signal: Floats
    norm: Floats
    n_frames: int

    @classmethod
    def of(
        cls, q: Floats, signal: Floats, norm: Floats, n_frames: int, counts_per_photon: float
    ) -> RadialProfile:
        """The profile of sums; what one photon adds to a pixel tells photons from counts.

        The error of N photons is sqrt(N), and that of none is taken as that of one. pyFAI's
        Poisson model takes at least one count for each *pixel* instead, which is far too much
        where most pixels of most frames are empty.
        """
        there = norm > 0
        variance = counts_per_photon * np.maximum(signal, counts_per_photon)
        out = np.full(q.shape, np.nan)
        return cls(
            q=q,
            intensity=np.divide(signal, norm, out=out.copy(), where=there),
            sigma=np.divide(np.sqrt(variance), norm, out=out, where=there),
            signal=signal,
            norm=norm,
            n_frames=n_frames,
        )


class RadialSums:
    """Signal and norm in each bin (`q`: their middles), of shots that are named by their numbers.

    Signals are float64 sums of integers or of float32 (see `model.sums.sum_dtype`), norms integers:
    both are exact. What a norm has above 2^62 is carried, so that a run of hours cannot wrap.
    """

    def __init__(self, q: Floats) -> None:
        self.q = q
        self.signal = np.zeros(len(q))
        self._norm = np.zeros(len(q), np.int64)
        self._carried: NDArray[np.int64] | None = None  # in units of 2^62; few sums need it
        self.shots: set[int] = set()

    @property
    def norm(self) -> Floats:
        """The norm in pixels; it depends on the frames alone, not on their order."""
        norm: Floats = self._norm / UNIT
        if self._carried is not None:
            norm += self._carried * (2.0**_CARRY / UNIT)
        return norm

    def add(self, signal: Floats, norm: NDArray[np.int64], shots: set[int]) -> None:
        """Add the sums of further frames, of which the norm (in units) is below 2^62."""
        self.signal += signal
        self._norm += norm
        self._carry()
        self.shots |= shots

    def merge(self, other: RadialSums) -> None:
        """Add the sums of other frames in the same bins."""
        self.add(other.signal, other._norm, other.shots)
        if other._carried is not None:
            self._carried = other._carried + (0 if self._carried is None else self._carried)

    def take_out(self, signal: Floats, norm: NDArray[np.int64], shot: int) -> None:
        """Undo `add` of one frame."""
        self.signal -= signal
        self._norm -= norm
        self._carry()
        self.shots.discard(shot)

    def _carry(self) -> None:
        above = self._norm >> _CARRY  # rounded down, so that what is left is 0 or more
        if above.any():
            self._norm -= above << _CARRY
            self._carried = above + (0 if self._carried is None else self._carried)


def profile_of(steps: Sequence[RadialSums], counts_per_photon: float) -> RadialProfile:
    """I(q) of the sums of one step, or of several in the same bins."""
    total = RadialSums(steps[0].q)
    for sums in steps:
        total.merge(sums)
    n_frames = sum(len(sums.shots) for sums in steps)
    return RadialProfile.of(total.q, total.signal, total.norm, n_frames, counts_per_photon)


class RadialBinning:
    """Sums frames of one geometry and mask in bins of q; made once for many frames.

    `mask` (rows, columns) is True where a pixel never carries data. Raises `RadialError` where no
    pixel is left, or the mask has another shape, and `GeometryError` for a beam far outside.
    """

    def __init__(self, bins: RadialBins, mask: Mask | None = None) -> None:
        rows, columns = bins.shape
        if mask is not None and mask.shape != bins.shape:
            raise RadialError(
                f"the mask has the shape {mask.shape}, the frames {bins.shape}: give a mask of "
                "this readout region"
            )
        self.bins, self.mask = bins, mask
        q, self._norms = q_and_norm_of_pixels(
            bins.geometry, bins.shape,
            correct_solid_angle=bins.correct_solid_angle, polarisation=bins.polarisation,
        )  # fmt: skip
        self.low, high = (float(q.min()), float(q.max())) if bins.q_range is None else bins.q_range
        self.width = (high * _UPPER - self.low) / bins.n
        if not self.width > 0:
            raise RadialError(
                f"frames of {rows}x{columns} pixels have q from {self.low:g} to {high:g} 1/A, "
                "which cannot be cut into bins"
            )
        self.q: Floats = np.asarray(self.low + (np.arange(bins.n) + 0.5) * self.width)
        self._places, n_pixels = binning.places_of(q, mask, self.low, self.width, bins.n)
        self._largest = int(n_pixels[:-1].max())
        if not self._largest:
            raise RadialError(
                "no pixel is left to integrate: all are masked, or outside "
                f"{self.low:g} to {high:g} 1/A; check mask_files and q_range"
            )
        # for the first list of photons, if there is one: pyFAI takes a second for a large frame
        self._spare_q: NDArray[np.float32] | None = q.astype(np.float32)
        self._whole = self._norm_without(None)
        self._cake: CakeBinning | None = None  # made when somebody asks for it
        self._split: dict[int, tuple[Mask | None, NDArray[np.int64]]] = {}

    # frames, exactly

    def of_image(
        self, image: NDArray[Any], n_frames: int, n_masked: NDArray[Any] | None
    ) -> tuple[Floats, NDArray[np.int64]]:
        """Signal and norm of a sum of frames, in which each pixel was masked so often.

        Masked pixels hold 0. Raises `RadialError` where so many frames cannot be added exactly.
        """
        if n_frames * self._largest >= 2**32:
            raise RadialError(
                f"{n_frames} frames of one step with up to {self._largest} pixels a bin are more "
                "than can be added exactly; use more bins"
            )
        norm = n_frames * self._whole
        if n_masked is not None:
            norm -= self._norm_without(n_masked)
        return self._signal(image), norm

    def of_frame(self, frame: Frame) -> tuple[Floats, NDArray[np.int64]]:
        """Signal and norm of one frame; photons are binned at their positions."""
        if isinstance(frame, PhotonFrame):
            return self.of_photons(frame)
        total = np.zeros(frame.shape, sum_dtype(frame.dtype))
        frame.add_to(total)
        return self.of_image(total, 1, frame.mask)

    def of_photons(self, frame: PhotonFrame) -> tuple[Floats, NDArray[np.int64]]:
        """Signal and norm of a frame that is a list of photons: those that are to be seen.

        A photon counts with its energy in the bin of its position, which is finer than a pixel.
        So the norm is that of pixels that are shared by the area that each bin has of them.
        """
        y, x, energies = frame.seen()
        if self.mask is not None and len(y):
            rows = np.clip(np.floor(y + 0.5).astype(np.int64), 0, self.bins.shape[0] - 1)
            columns = np.clip(np.floor(x + 0.5).astype(np.int64), 0, self.bins.shape[1] - 1)
            kept = ~self.mask[rows, columns]
            y, x, energies = y[kept], x[kept], energies[kept]
        signal = np.zeros(self.bins.n)
        binning.add_at(
            self.bins.geometry.q(y, x), energies, self.low, self.width, signal,
            # the corner of a pixel at the edge may reach beyond the centres of all pixels
            is_open=self.bins.q_range is None,
        )  # fmt: skip
        return signal, self._split_norm(frame.mask)

    # an accumulated image, of any number of frames

    def of_accumulated(self, found: AccumulatedImage, counts_per_photon: float) -> RadialProfile:
        """I(q) of an accumulated image; pixels count as often as they were valid.

        Norms are summed in float64 here, always in the same order: any number of frames fits.
        """
        if found.n_valid is None:
            masked = found.mask if found.mask.any() else None
            of_one = self._whole if masked is None else self._whole - self._norm_without(masked)
            norm = of_one * (found.n_frames / UNIT)
        else:
            sums = np.zeros(self.bins.n + 1)
            binning.add_products(self._places, self._norms, found.n_valid, sums)
            norm = sums[:-1] / UNIT
        signal = self._signal(found.image)
        return RadialProfile.of(self.q, signal, np.asarray(norm), found.n_frames, counts_per_photon)

    def cake(self, found: AccumulatedImage, n_azimuth: int) -> tuple[Floats, Floats, Floats]:
        """I(q, chi) of an accumulated image: intensity (azimuth, q), q (1/A), chi (deg).

        NaN where a bin has no pixel. There are at most four bins of q for each of azimuth: as many
        as for I(q) would be empty, most of them.
        """
        if self._cake is None or self._cake.bins.n_azimuth != n_azimuth:
            n_q = min(self.bins.n, 4 * n_azimuth)
            bins = CakeBins(n_q, n_azimuth, self.low, self.width * self.bins.n / n_q)
            self._cake = CakeBinning(self.bins.geometry, bins, self._norms, self.mask)
        return self._cake.intensity(found), self._cake.q, self._cake.chi

    def let_go(self) -> None:
        """Give back the memory of what can be made again, such as the bins of the cake."""
        self._cake = self._spare_q = None

    # the parts

    def _signal(self, image: NDArray[Any]) -> Floats:
        sums = np.zeros(self.bins.n + 1)
        binning.add(self._places, image, sums)
        return sums[:-1]

    def _norm_without(self, n_masked: NDArray[Any] | None) -> NDArray[np.int64]:
        """The norm of pixels, as often as said (None: once each)."""
        sums = np.zeros(self.bins.n + 1, np.int64)
        if n_masked is None:
            binning.add(self._places, self._norms, sums)
        else:
            binning.add_products(self._places, self._norms, n_masked, sums)
        return sums[:-1]

    def _split_norm(self, mask: Mask | None) -> NDArray[np.int64]:
        """The norm of one frame, of which the pixels are shared among bins."""
        key = id(mask)
        if key in self._split:
            return self._split[key][1]
        if mask is None or self.mask is None:
            without = mask if self.mask is None else self.mask
        else:
            without = mask | self.mask
        q, self._spare_q = self._spare_q, None
        if q is None:
            q = q_of_pixels(self.bins.geometry, self.bins.shape).astype(np.float32)
        shared = binning.split(
            q, self._norms, without, self.low, self.width, self.bins.n,
            is_open=self.bins.q_range is None,
        )  # fmt: skip
        norm = shared // binning.SUB_POINTS**2
        if mask is None or not mask.flags.writeable:
            if len(self._split) > 3:
                self._split.clear()
            # with the mask, or another one could get its place in memory, and its id
            self._split[key] = mask, norm
        return norm
