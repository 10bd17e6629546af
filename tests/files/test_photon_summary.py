"""The verdict on the single-photon hypothesis, against files whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from femto_bluesky.files.photon_contents import NO_FRAME
from femto_bluesky.files.photon_summary import share, summary_of
from tests.files.counted import contents


def test_numbers_of_single_photons():
    found = summary_of(contents())
    assert found.peak_adu == pytest.approx(1200, abs=2)
    assert found.width_adu == pytest.approx(42, abs=2)
    assert (found.n_photons, found.n_frames, found.n_hot) == (4000, 10, 20)
    assert found.photons_per_frame == 400
    assert (found.n_overlaps, found.overlap_share) == (20, 0.005)
    assert found.expected_overlap_share == pytest.approx(0.005)
    assert found.offset_spread_px == pytest.approx((0.289, 0.289), abs=0.01)
    assert found.share_below_view == pytest.approx(0.0087, abs=0.004)
    assert found.n_edge == 0
    assert found.doubts() == []
    assert found.verdict() == (
        f"Single photons: the peak is at {found.peak_adu:.0f} ADU (1200 expected), and 0.50% have "
        "the energy of two (by chance: 0.50%)."
    )
    assert dict(found.rows())["share above 1400 ADU (overlaps)"] == "0.50% (20)"


def test_the_settings_of_the_file_count():
    given = contents(
        peak=600, settings=[{}, {"photon_adu": 600, "energy_min_adu": 400, "overlap_adu": 700}]
    )
    found = summary_of(given)
    assert found.finding.photon_adu == 600
    assert found.n_overlaps == np.count_nonzero(given.photons["energy"] > 700) > 20
    assert found.doubts() == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"n": 150}, "150 photons are too few to tell; count more frames"),
        ({"peak": 1000}, "ADU, but one photon is set to 1200: check the dark"),
        ({"n_overlaps": 200}, "5.0% of the photons have the energy of two, by chance it would be"),
    ],
)
def test_doubts_are_told(given, words):
    found = summary_of(contents(**given))
    assert found.verdict().startswith("Doubtful: ")
    assert words in found.verdict()


def test_a_spectrum_without_a_peak_is_doubtful():
    given = contents(n_overlaps=0)
    given.photons["energy"] = np.random.default_rng(0).uniform(900, 1390, len(given.photons))
    given.histogram[:] = given.bins.count(given.photons)
    found = summary_of(given)
    assert "peak" in found.verdict()


def test_crowded_frames_are_doubtful():
    given = contents()
    given.frames["is_crowded"][3:5] = True
    found = summary_of(given)
    assert found.n_crowded == 2
    assert found.photons_per_frame == 500
    assert "2 of 10 frames are too crowded to be counted: attenuate" in found.verdict()


def test_a_file_without_photons_has_no_numbers():
    found = summary_of(contents(n=0, n_overlaps=0))
    assert math.isnan(found.peak_adu)
    assert math.isnan(found.overlap_share)
    assert "0 photons are too few" in found.verdict()
    assert dict(found.rows())["share above 1400 ADU (overlaps)"] == "not known (0)"


def test_the_predecessors_files_tell_what_they_can():
    given = contents(frames={}, offsets=None, shape=None, detector="")
    found = summary_of(given)
    assert found.n_frames == 10
    assert math.isnan(found.expected_overlap_share)
    assert found.offset_spread_px == pytest.approx((0.289, 0.289), abs=0.01)
    assert "(by chance: not known)" in found.verdict()
    unknown = np.full(4000, NO_FRAME)
    assert summary_of(contents(frames={}, frame_of_photon=unknown)).n_frames == 0


def test_what_is_unknown_is_said():
    assert share(float("nan")) == "not known"
