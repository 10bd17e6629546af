"""What a photon file tells of the single-photon hypothesis, in numbers and in one line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.files.photon_contents import NO_FRAME, Contents
from femto_bluesky.kernels.photons import CLOSE, EDGE, OVERLAP
from femto_bluesky.model import eta
from femto_bluesky.model.detectors import PhotonFinding

EVEN_SPREAD_PX = 1 / 12**0.5
"""The standard deviation of positions that lie evenly over a pixel."""

_FEWEST = 200
_PEAK_WINDOW = 0.2  # of the peak's position: what lies further off belongs to something else


@dataclass(frozen=True, slots=True, eq=False)
class PhotonSummary:
    """The numbers of a photon file; NaN where there is nothing to tell them from.

    `peak_adu` is the mean energy about the largest bin of the histogram, `width_adu` the standard
    deviation there. `overlap_share` is that of the photons above `finding.overlap_adu`,
    `expected_overlap_share` what chance gives at this density. Spreads of the raw offsets are
    standard deviations: 0.289 px where they lie evenly.
    """

    finding: PhotonFinding
    n_frames: int
    n_crowded: int
    n_photons: int
    n_hot: int
    n_edge: int
    n_overlaps: int
    peak_adu: float
    width_adu: float
    share_below_view: float
    overlap_share: float
    expected_overlap_share: float
    offset_spread_px: tuple[float, float]

    @property
    def photons_per_frame(self) -> float:
        """Mean over the frames that were counted."""
        n = self.n_frames - self.n_crowded
        return self.n_photons / n if n else float("nan")

    def doubts(self) -> list[str]:
        """What speaks against one hit being one photon; each says what to look at."""
        if self.n_crowded and self.n_crowded == self.n_frames:
            return [f"all {self.n_frames} frames are too crowded to be counted: attenuate"]
        if self.n_photons < _FEWEST:
            return [f"{self.n_photons} photons are too few to tell; count more frames"]
        found = []
        if abs(self.peak_adu / self.finding.photon_adu - 1) > 0.1:
            found.append(
                f"the peak is at {self.peak_adu:.0f} ADU, but one photon is set to "
                f"{self.finding.photon_adu:.0f}: check the dark level, the gain, and photon_adu"
            )
        if self.width_adu > 0.15 * self.peak_adu:
            found.append(
                f"the peak is {self.width_adu / self.peak_adu:.0%} wide: noise, charge that is "
                "lost beyond the 3x3, or photons of several energies"
            )
        # twice of chance, and more than the counting statistics of few overlaps
        limit = (
            2 * self.expected_overlap_share + 0.005 + 3 * (self.n_overlaps**0.5 / self.n_photons)
        )
        if self.overlap_share > limit:
            found.append(
                f"{self.overlap_share:.1%} of the photons have the energy of two, by chance it "
                f"would be {self.expected_overlap_share:.1%}: look for bright spots, harmonics, or "
                "an overlap_adu that is too low"
            )
        if self.n_crowded:
            found.append(
                f"{self.n_crowded} of {self.n_frames} frames are too crowded to be counted: "
                "attenuate, or use their thresholded sum"
            )
        return found

    def verdict(self) -> str:
        """One line: whether hits are single photons, and why, or why not."""
        doubts = self.doubts()
        if doubts:
            return "Doubtful: " + "; ".join(doubts) + "."
        return (
            f"Single photons: the peak is at {self.peak_adu:.0f} ADU "
            f"({self.finding.photon_adu:.0f} expected), and {share(self.overlap_share)} have "
            f"the energy of two (by chance: {share(self.expected_overlap_share)})."
        )

    def rows(self) -> list[tuple[str, str]]:
        """The numbers as a table of words and figures."""
        finding = self.finding
        return [
            ("frames", f"{self.n_frames}"),
            ("frames too crowded to be counted", f"{self.n_crowded}"),
            ("photons", f"{self.n_photons}"),
            ("photons a frame", f"{self.photons_per_frame:.5g}"),
            ("peak", f"{self.peak_adu:.1f} ± {self.width_adu:.1f} ADU"),
            ("one photon, as set", f"{finding.photon_adu:.0f} ADU"),
            (f"share below {finding.view_min_adu:.0f} ADU (not in the clean image)",
             share(self.share_below_view)),
            (f"share above {finding.overlap_adu:.0f} ADU (overlaps)",
             f"{share(self.overlap_share)} ({self.n_overlaps})"),
            ("share of overlaps by chance at this density", share(self.expected_overlap_share)),
            ("hot pixels dropped", f"{self.n_hot}"),
            ("photons at an edge or a masked pixel", f"{self.n_edge}"),
            ("spread of raw offsets y, x (even: 0.289)",
             f"{self.offset_spread_px[0]:.3f}, {self.offset_spread_px[1]:.3f} px"),
        ]  # fmt: skip


def share(value: float) -> str:
    """A share in words.

    >>> share(0.01234), share(float("nan"))
    ('1.23%', 'not known')
    """
    return "not known" if np.isnan(value) else f"{value:.2%}"


def summary_of(contents: Contents) -> PhotonSummary:
    """The numbers of what is in a photon file."""
    finding = finding_of(contents)
    photons, frames = contents.photons, contents.frames
    energy = photons["energy"]
    peak, width = _peak(contents)
    n_overlaps = int(np.count_nonzero(energy > finding.overlap_adu))
    n = len(photons)
    weights = frames.get("n_photons", np.empty(0))
    expected = np.nan
    if weights.sum() > 0:
        expected = float((weights * frames["overlap_share"]).sum() / weights.sum())
    known = contents.frame_of_photon[contents.frame_of_photon != NO_FRAME]
    offsets = offsets_of(contents)
    return PhotonSummary(
        finding=finding,
        n_frames=len(weights) or len(np.unique(known)),
        n_crowded=int(np.count_nonzero(frames.get("is_crowded", 0))),
        n_photons=n,
        n_hot=int(np.sum(frames.get("n_hot_pixels", 0))),
        n_edge=int(np.count_nonzero(photons["flags"] & EDGE)),
        n_overlaps=n_overlaps,
        peak_adu=peak,
        width_adu=width,
        share_below_view=float(np.mean(energy <= finding.view_min_adu)) if n else np.nan,
        overlap_share=n_overlaps / n if n else np.nan,
        expected_overlap_share=expected,
        offset_spread_px=(_spread(offsets[0]), _spread(offsets[1])),
    )


def finding_of(contents: Contents) -> PhotonFinding:
    """The numbers with which the photons were found last; defaults where a file does not say."""
    record: dict[str, Any] = contents.settings[-1] if contents.settings else {}
    return PhotonFinding.model_validate(
        {name: record[name] for name in PhotonFinding.model_fields if record.get(name) is not None}
    )


def offsets_of(contents: Contents) -> NDArray[np.int64]:
    """The counts of the offsets (y and x, bins): those of the file, else of its photons."""
    if contents.offsets is not None:
        return contents.offsets
    return eta.count_offsets(contents.photons)


def _peak(contents: Contents) -> tuple[float, float]:
    """Mean and standard deviation of the energies about the largest bin; NaN without photons."""
    photons, bins = contents.photons, contents.bins
    clean = photons["energy"][(photons["flags"] & (OVERLAP | EDGE | CLOSE)) == 0]
    counts = bins.count(photons)[:-1]
    if not len(clean) or not counts.any():
        return np.nan, np.nan
    # as wide as 3 % of a photon, so that chance does not choose among the bins
    n_smooth = max(1, round(0.03 * finding_of(contents).photon_adu / bins.width_adu))
    smooth = np.convolve(counts, np.ones(n_smooth), "same")
    mode = float(bins.centres[int(np.argmax(smooth))])
    near = clean[np.abs(clean - mode) < _PEAK_WINDOW * mode]
    if not len(near):
        return mode, np.nan
    return float(near.mean(dtype=float)), float(near.std(dtype=float))


def _spread(counts: NDArray[np.int64]) -> float:
    if not counts.sum():
        return float("nan")
    centres = (np.arange(len(counts)) + 0.5) / len(counts) - 0.5
    mean = np.average(centres, weights=counts)
    return float(np.average((centres - mean) ** 2, weights=counts) ** 0.5)
