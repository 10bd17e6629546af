from __future__ import annotations

import itertools

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from femto_bluesky import callbacks
from femto_bluesky.callbacks import (
    Accumulation,
    AzimuthalIntegration,
    CmosCleaning,
    DarkCollection,
    LiveAnalysis,
    PhotonDetection,
    RoiMeans,
)
from femto_bluesky.model.detectors import DetectorSettings
from femto_bluesky.model.geometry import Geometry
from femto_bluesky.model.rois import Roi
from femto_bluesky.stream.analysis import Analysis, Pipeline
from femto_bluesky.testing.laws import LAWS, assert_laws, check_parts
from femto_bluesky.testing.shots import make_shots

ROIS = {
    "ROI 2": Roi(x0=1, y0=2, x1=5, y1=6),
    "the gap": Roi(x0=8, y0=0, x1=9, y1=12, detector="pilatus"),  # no valid pixel
    "ö": Roi(x0=0, y0=0, x1=16, y1=12),
}
RUNS = ("run-1", "run-2")
ALL = ("pilatus", "andor3_zyla12", "camera", "andor3_balor1")

GEOMETRY = Geometry(
    energy_kev=13.5, distance_m=0.01, x0_px=3, y0_px=5, tilt_deg=5, pixel_size_m=(172e-6, 172e-6)
)
DIFFRACTION = {
    "geometries": {"pilatus": GEOMETRY, "andor3_balor": GEOMETRY},
    "azimuthal": {"n_bins": 8, "calibrant": "LaB6"},
}

# Two runs of bursts of each kind of detector, on its own and all in one event.
COUNTING = make_shots(("pilatus",), runs=RUNS)
CAMERA = make_shots(("andor3_zyla12",), runs=RUNS)
PHOTONS = make_shots(("andor3_balor1",), runs=RUNS, n_frames=4, shape=(48, 64))
FLOATS = make_shots(("camera",), runs=RUNS)
TOGETHER = make_shots(ALL, runs=RUNS)
DIFFRACTING = make_shots(("pilatus", "andor3_balor1"), n_steps=2, n_frames=3, shape=(24, 30))
SINGLE_FRAMES = make_shots(("pilatus",), n_steps=5, n_frames=1)

# A frame that was the newest is known no more when a newer one is taken back.
BUT_RETRACTION = LAWS.keys() - {"retraction"}

CASES = {
    "RoiMeans": [
        (lambda: RoiMeans(ROIS), TOGETHER, LAWS),
        (lambda: RoiMeans(ROIS), SINGLE_FRAMES, LAWS),
        (RoiMeans, COUNTING, LAWS),
    ],
    "Accumulation": [
        (Accumulation, COUNTING, LAWS),
        (Accumulation, CAMERA, LAWS),
        (Accumulation, FLOATS, LAWS),
        (Accumulation, SINGLE_FRAMES, LAWS),
        (lambda: Accumulation(detector="camera"), TOGETHER, LAWS),
        (lambda: Accumulation(accumulating=False), COUNTING, BUT_RETRACTION),
    ],
    "AzimuthalIntegration": [
        (lambda: AzimuthalIntegration(GEOMETRY, n_bins=8, polarisation=0.9), COUNTING, LAWS),
        (lambda: AzimuthalIntegration({"": GEOMETRY}, n_bins=8, n_azimuth=3), TOGETHER, LAWS),
        (lambda: AzimuthalIntegration({"pilatus": GEOMETRY}, n_bins=8), TOGETHER, LAWS),
        (AzimuthalIntegration, COUNTING, LAWS),
    ],
    "CmosCleaning": [
        (CmosCleaning, TOGETHER, LAWS),
        (lambda: CmosCleaning(dark_adu=90, threshold_adu=0), TOGETHER, LAWS),
    ],
    "DarkCollection": [
        (DarkCollection, TOGETHER, LAWS),
        (lambda: DarkCollection(n_sigmas=2, min_excess_adu=0), PHOTONS, LAWS),
        (lambda: DarkCollection(detector="camera"), TOGETHER, LAWS),
    ],
    "PhotonDetection": [
        (PhotonDetection, PHOTONS, LAWS),
        (PhotonDetection, TOGETHER, LAWS),
        (lambda: PhotonDetection(roi=Roi(x0=3, y0=2, x1=40, y1=30)), PHOTONS, LAWS),
        (
            lambda: PhotonDetection(detector="andor3_zyla12", energy_min_adu=300, hot_share=1),
            TOGETHER,
            LAWS,
        ),
    ],
    "LiveAnalysis": [
        (lambda: LiveAnalysis(ROIS), PHOTONS, LAWS),
        (lambda: LiveAnalysis(ROIS, photons={"counting": False}), PHOTONS, LAWS),
        (lambda: LiveAnalysis(ROIS), TOGETHER, LAWS),
        (lambda: LiveAnalysis(ROIS), SINGLE_FRAMES, LAWS),
        (lambda: LiveAnalysis(**DIFFRACTION), DIFFRACTING, LAWS),
        (lambda: LiveAnalysis(ROIS, accumulate=False), TOGETHER, BUT_RETRACTION),
        (
            lambda: LiveAnalysis(
                cmos={"dark_adu": 3}, detectors={"camera": DetectorSettings(dark_adu=1)}
            ),
            TOGETHER,
            LAWS,
        ),
    ],
}
# Analyses in a row, in the order in which users write them on their own.
IN_A_ROW = [(lambda: Pipeline(CmosCleaning(), RoiMeans(ROIS), Accumulation()), CAMERA, LAWS)]

EVERY = [
    pytest.param(make, shots, laws, id=f"{name}-{number}")
    for name, cases in (CASES | {"Pipeline": IN_A_ROW}).items()
    for number, (make, shots, laws) in enumerate(cases)
]


def test_every_analysis_is_held_to_the_laws():
    exported = {name: getattr(callbacks, name) for name in callbacks.__all__}
    analyses = {
        name
        for name, found in exported.items()
        if isinstance(found, type) and issubclass(found, Analysis)
    }
    assert analyses == CASES.keys(), "every analysis in callbacks.__all__ needs its line in CASES"
    for name, cases in CASES.items():
        for make, _, _ in cases:
            assert type(make()) is exported[name]


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(("make", "shots", "laws"), EVERY)
def test_the_laws(make, shots, laws, law):
    if law in laws:
        assert_laws(make, shots, laws=[law])
        assert_laws(make(), shots, laws=[law])


@pytest.mark.parametrize(("make", "shots", "laws"), EVERY)
def test_any_cut_in_any_order(make, shots, laws):
    n_parts = 4

    @hypothesis.settings(max_examples=25)
    @given(
        st.lists(st.integers(0, n_parts - 1), min_size=len(shots), max_size=len(shots)),
        st.permutations(range(n_parts)),
    )
    def holds(part_of, order):
        check_parts(make, shots, part_of, order)

    holds()


def test_the_shots_are_what_they_should_prove():
    """Flags that change, NaN, bursts, labels: without them the laws would hold too easily."""
    frames = {name: [s.frame for s in TOGETHER if s.detector == name] for name in ALL}
    masks = [frame.mask for frame in frames["pilatus"]]
    assert not all(np.array_equal(a, b) for a, b in itertools.pairwise(masks))
    assert all((frame.pixels[frame.mask] < 0).all() for frame in frames["pilatus"])
    assert {frame.mask is None for frame in frames["camera"]} == {True, False}
    assert any(np.isnan(frame.pixels).any() for frame in frames["camera"])
    zyla = np.array([frame.pixels for frame in frames["andor3_zyla12"]])
    assert zyla.dtype == np.uint16
    assert (zyla.min() < 100, zyla.max()) == (True, 65535)
    counted = PhotonDetection()
    for shot in PHOTONS:
        counted.update(shot)
    steps = counted.result("run-1")
    assert min(steps["andor3_balor1_n_photons"]) > 20
    assert 0 < sum(steps["andor3_balor1_n_crowded"]) < 12
    assert max(steps["andor3_balor1_overlap_share"]) > 0
    assert len({s.position["stage_x"] for s in TOGETHER}) == 3
    assert {s.labels["laser_on"] for s in TOGETHER} == {0, 1}
    assert len({id(s.frame.pixels) for s in TOGETHER}) == len(TOGETHER)
    again = make_shots(ALL, runs=RUNS)
    assert all(
        np.array_equal(a.frame.pixels, b.frame.pixels, equal_nan=True)
        for a, b in zip(TOGETHER, again, strict=True)
    )
