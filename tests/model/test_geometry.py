"""The geometry: what a pixel means, against pyFAI, and that no way round loses anything."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from pyFAI.detectors import Detector
from pyFAI.geometry import Geometry as PyfaiGeometry

from femto_bluesky.model.geometry import Geometry, GeometryError, Poni, q_of, two_theta_of

SHAPE = (831, 1475)
LAB6 = Geometry(
    energy_kev=13.5, distance_m=0.131, x0_px=210, y0_px=373, pixel_size_m=(172e-6, 172e-6)
)
TILTED = LAB6.model_copy(update={"tilt_deg": 60.0, "rotation_deg": 10.0})

geometries = st.builds(
    Geometry,
    energy_kev=st.floats(1, 100),
    distance_m=st.floats(0.01, 10),
    x0_px=st.floats(-2000, 5000),
    y0_px=st.floats(-2000, 5000),
    tilt_deg=st.just(0.0) | st.floats(-80, 80),
    rotation_deg=st.floats(-400, 400),
    rot3_deg=st.none() | st.floats(-180, 180),
    pixel_size_m=st.tuples(st.floats(5e-6, 5e-4), st.floats(5e-6, 5e-4)),
)
ponis = st.builds(
    Poni,
    dist=st.floats(0.01, 10),
    poni1=st.floats(-1, 1),
    poni2=st.floats(-1, 1),
    rot1=st.floats(-1.3, 1.3),
    rot2=st.floats(-1.3, 1.3),
    rot3=st.floats(-math.pi, math.pi),
    wavelength=st.floats(1e-11, 1e-9),
    pixel1=st.floats(5e-6, 5e-4),
    pixel2=st.floats(5e-6, 5e-4),
)


def tilt_vector(geometry: Geometry) -> np.ndarray:
    """What tilt and rotation mean together: (t, r) is (-t, r + 180), and 0 has any rotation."""
    angle = math.radians(geometry.rotation_deg)
    return geometry.tilt_deg * np.array([math.cos(angle), math.sin(angle)])


def in_pyfai(geometry: Geometry, shape: tuple[int, int] | None = None) -> PyfaiGeometry:
    """The geometry as pyFAI itself takes it from Fit2D's terms."""
    made = PyfaiGeometry(detector=Detector(*geometry.pixel_size_m, max_shape=shape, orientation=3))
    made.auto_gc = False  # it would collect garbage at each change
    made.setFit2D(
        geometry.distance_m * 1e3,
        geometry.x0_px,
        geometry.y0_px,
        geometry.tilt_deg,
        geometry.rotation_deg,
        wavelength=geometry.wavelength_angstrom,
    )
    return made


# --- Conversions ------------------------------------------------------------------------------


@given(geometries)
def test_viewer_to_poni_to_viewer_is_the_same_geometry(geometry):
    again = Geometry.from_poni(geometry.poni())
    assert again.energy_kev == pytest.approx(geometry.energy_kev, rel=1e-12)
    assert again.distance_m == pytest.approx(geometry.distance_m, rel=1e-9)
    assert again.pixel_size_m == geometry.pixel_size_m
    # 1e-7 rad, at the distance of the detector, in pixels
    apart = 1e-7 * geometry.distance_m / min(geometry.pixel_size_m)
    apart /= math.cos(math.radians(geometry.tilt_deg)) ** 2
    assert again.x0_px == pytest.approx(geometry.x0_px, abs=apart, rel=1e-9)
    assert again.y0_px == pytest.approx(geometry.y0_px, abs=apart, rel=1e-9)
    np.testing.assert_allclose(tilt_vector(again), tilt_vector(geometry), atol=1e-5)
    assert again.tilt_deg >= 0
    assert -180 <= again.rotation_deg <= 180
    apart = math.remainder(again.poni().rot3 - geometry.poni().rot3, 2 * math.pi)
    assert abs(apart) < 3e-7


@given(ponis)
def test_poni_to_viewer_to_poni_is_the_same_geometry(poni):
    again = Geometry.from_poni(poni).poni()
    for name in ("dist", "wavelength", "pixel1", "pixel2"):
        assert getattr(again, name) == pytest.approx(getattr(poni, name), rel=1e-6)
    for name in ("rot1", "rot2"):
        assert getattr(again, name) == pytest.approx(getattr(poni, name), abs=3e-7)
    assert abs(math.remainder(again.rot3 - poni.rot3, 2 * math.pi)) < 3e-7
    for name in ("poni1", "poni2"):
        apart = 3e-7 * poni.dist / (math.cos(poni.rot1) * math.cos(poni.rot2)) ** 2
        assert getattr(again, name) == pytest.approx(getattr(poni, name), abs=apart, rel=1e-6)


@given(geometries)
def test_the_poni_is_the_one_that_pyfai_makes_of_it(geometry):
    found, expected = geometry.poni(), in_pyfai(geometry)
    assert expected.energy == pytest.approx(geometry.energy_kev, rel=1e-12)
    for name in ("dist", "poni1", "poni2", "rot1", "rot2", "wavelength", "pixel1", "pixel2"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-12, abs=1e-15)
    if geometry.rot3_deg is None:
        assert found.rot3 == expected.rot3
    else:
        assert found.rot3 == math.radians(geometry.rot3_deg)
    fit2d = expected.getFit2D()
    again = Geometry.from_poni(found)
    assert again.tilt_deg == fit2d["tilt"]
    assert again.x0_px == fit2d["centerX"]
    assert again.y0_px == fit2d["centerY"]


def test_a_tilt_of_minus_t_is_one_of_t_in_the_opposite_direction():
    minus = LAB6.model_copy(update={"tilt_deg": -12.0, "rotation_deg": 200.0})
    found = Geometry.from_poni(minus.poni())
    assert (found.tilt_deg, found.rotation_deg) == pytest.approx((12, 20))


@pytest.mark.parametrize(("rotation", "away"), [(0, (0, 1)), (90, (1, 0)), (-150, (-0.5, -0.87))])
def test_the_detector_leans_away_in_the_direction_of_the_rotation(rotation, away):
    leaning = LAB6.model_copy(update={"tilt_deg": 20.0, "rotation_deg": float(rotation)})
    far, near = ([leaning.beam[i] + sign * 300 * away[i] for i in (0, 1)] for sign in (1, -1))
    # What is further from the sample is seen under a smaller angle, and has the wider rings.
    assert leaning.two_theta(*far) < leaning.two_theta(*near) - 2
    y, x = leaning.ring(2.0)
    middle = (y.max() + y.min()) / 2, (x.max() + x.min()) / 2
    moved = np.subtract(middle, leaning.beam)
    np.testing.assert_allclose(moved / np.hypot(*moved), away, atol=0.05)


def test_an_untilted_poni_in_words_that_one_knows():
    poni = LAB6.poni()
    assert (poni.dist, poni.rot1, poni.rot2, poni.rot3) == (0.131, 0, 0, 0)
    assert (poni.poni1, poni.poni2) == pytest.approx((373 * 172e-6, 210 * 172e-6))
    assert poni.wavelength == pytest.approx(0.9184e-10, rel=1e-4)


def test_a_rotation_about_the_beam_is_kept_and_turns_chi_only():
    poni = Poni(0.2, 0.03, 0.04, 0.1, -0.2, 0.5, 1e-10, 1e-4, 1e-4)
    turned = Geometry.from_poni(poni)
    assert turned.rot3_deg == pytest.approx(math.degrees(0.5))
    as_fit2d = turned.model_copy(update={"rot3_deg": None})
    y, x = np.mgrid[:900:90, :800:80]
    np.testing.assert_allclose(turned.q(y, x), as_fit2d.q(y, x), rtol=1e-12)
    apart = turned.chi(y, x) - as_fit2d.chi(y, x)
    expected = math.degrees(as_fit2d.poni().rot3 - 0.5)  # a right-handed turn lowers chi
    np.testing.assert_allclose((apart - expected + 180) % 360 - 180, 0, atol=1e-9)
    assert Geometry.from_poni(as_fit2d.poni()).rot3_deg is None


# --- What a pixel means -----------------------------------------------------------------------


@pytest.mark.parametrize("geometry", [LAB6, TILTED], ids=["straight", "tilted"])
def test_pixels_have_what_pyfai_gives_them(geometry):
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    reference = in_pyfai(geometry, SHAPE)
    # qArray counts pixels in float32
    np.testing.assert_allclose(geometry.q(y, x), reference.qArray(SHAPE) / 10, atol=1e-6)
    reference.reset()
    for unit, found in (
        ("q_A^-1", geometry.q(y, x)),
        ("2th_deg", geometry.two_theta(y, x)),
        ("chi_deg", geometry.chi(y, x)),
    ):
        expected = reference.center_array(SHAPE, unit)
        assert found.shape == SHAPE
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-5, err_msg=unit)
    np.testing.assert_allclose(geometry.d(y, x) * geometry.q(y, x), 2 * np.pi)


def test_the_integrator_gives_every_pixel_the_same_q():
    integrator = TILTED.integrator(SHAPE)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    np.testing.assert_allclose(integrator.center_array(SHAPE, "q_A^-1"), TILTED.q(y, x), rtol=1e-12)
    assert integrator.detector.max_shape == SHAPE
    assert integrator.detector.orientation.value == 3


def test_the_beam_is_half_a_pixel_before_its_setting_and_has_no_angle():
    assert LAB6.beam == (372.5, 209.5)
    for geometry in (LAB6, TILTED):
        assert geometry.two_theta(*geometry.beam) == pytest.approx(0, abs=1e-5)
    assert LAB6.q(*LAB6.beam) == 0
    assert LAB6.d(*LAB6.beam) == math.inf


def test_angles_by_hand():
    # One distance beside the beam are 45 degrees.
    x = 209.5 + 0.131 / 172e-6
    assert LAB6.two_theta(372.5, x) == pytest.approx(45)
    assert LAB6.q(372.5, x) == pytest.approx(4 * np.pi / 0.91840 * math.sin(math.pi / 8), rel=1e-4)
    assert LAB6.chi(372.5, x) == pytest.approx(0)
    assert LAB6.chi(400, 209.5) == pytest.approx(90)
    assert float(two_theta_of(LAB6.q(372.5, x), 13.5)) == pytest.approx(45)
    assert float(q_of(45, 13.5)) == pytest.approx(float(LAB6.q(372.5, x)))
    assert np.isnan(two_theta_of(14.0, 13.5))


def test_positions_of_any_shape_are_answered():
    assert LAB6.q(1, 2).shape == ()
    assert LAB6.q([], []).shape == (0,)
    column = LAB6.q(np.arange(5)[:, None], np.arange(7, dtype=np.float32))
    assert column.shape == (5, 7)
    assert column[3, 4] == LAB6.q(3, 4)


@given(geometries, st.integers(0, 500), st.integers(0, 500), st.integers(1, 4), st.integers(1, 4))
@settings(max_examples=50)
def test_a_region_has_the_q_of_the_sensor_that_it_is_cut_from(geometry, top, left, rows, columns):
    region = geometry.for_region((top, left), (rows, columns))
    y, x = np.mgrid[:3, :4] * 37.0
    on_sensor = geometry.q(top + (y + 0.5) * rows - 0.5, left + (x + 0.5) * columns - 0.5)
    np.testing.assert_allclose(region.q(y, x), on_sensor, rtol=1e-6, atol=1e-6)


# --- Rings ------------------------------------------------------------------------------------


@given(
    geometries,
    st.floats(0.01, 0.99),
    st.none() | st.tuples(st.integers(1, 4000), st.integers(1, 4000)),
)
def test_every_point_of_a_ring_has_its_q(geometry, share, shape):
    q = share * 4 * math.pi / geometry.wavelength_angstrom
    y, x = geometry.ring(q, shape=shape, n=50)
    assert y.shape == x.shape
    there = np.isfinite(y)
    np.testing.assert_array_equal(there, np.isfinite(x))
    np.testing.assert_allclose(geometry.q(y[there], x[there]), q, rtol=1e-9)
    if shape is not None:
        assert np.all((y[there] > -0.5 - 1e-6) & (y[there] < shape[0] - 0.5 + 1e-6))
        assert np.all((x[there] > -0.5 - 1e-6) & (x[there] < shape[1] - 0.5 + 1e-6))


@given(
    st.floats(-80, 80),
    st.floats(-180, 180),
    st.floats(-300, 1500),
    st.floats(-300, 1500),
    st.floats(0.02, 0.95),
)
@settings(max_examples=60)
def test_a_ring_misses_nothing_of_the_frame(tilt, rotation, x0, y0, share):
    """Where a border pixel is within the ring and its neighbour is not, the ring ends there."""
    shape = (60, 80)
    geometry = Geometry(
        energy_kev=10, distance_m=0.02, x0_px=x0 / 10, y0_px=y0 / 10, tilt_deg=tilt,
        rotation_deg=rotation, pixel_size_m=(1e-3, 1e-3),
    )  # fmt: skip
    q = share * 4 * math.pi / geometry.wavelength_angstrom
    y, x = geometry.ring(q, shape=shape, n=2000)
    inside = geometry.q(*np.mgrid[:60, :80]) < q
    flips = np.argwhere(inside[:, 1:] != inside[:, :-1]) + np.array((0, 0.5))
    for row, column in flips:
        assert np.nanmin(np.hypot(y - row, x - column)) < 1.2
    if not flips.size and inside.all():
        assert np.all(np.isnan(y)) or np.nanmin(np.minimum(y, x)) < 1 or np.nanmax(y) > 58


def test_a_straight_ring_is_a_closed_circle():
    y, x = LAB6.ring(2.0)
    assert (y[0], x[0]) == pytest.approx((y[-1], x[-1]))
    radius = np.hypot(y - 372.5, x - 209.5)
    np.testing.assert_allclose(radius, radius[0])
    assert np.isfinite(y).all()


def test_a_ring_that_leaves_the_frame_twice_comes_in_two_pieces():
    # The circle of the beam in the middle of a broad frame, cut above and below.
    middle = LAB6.model_copy(update={"x0_px": 500.0, "y0_px": 100.0})
    y, x = middle.ring(2.0, shape=(200, 1000), n=100)
    gaps = np.flatnonzero(np.isnan(y))
    assert gaps.tolist() == [100]
    for piece in (slice(0, 100), slice(101, 201)):
        ends = sorted(y[piece][[0, -1]])
        assert ends == pytest.approx([-0.5, 199.5])
        assert len(set(np.sign(x[piece] - 499.5))) == 1


def test_a_ring_that_only_the_side_cuts_is_one_piece():
    y, _x = LAB6.ring(2.0, shape=SHAPE)
    assert np.isfinite(y).all()
    assert len(y) == 361


def test_a_ring_at_90_degrees_is_a_straight_line():
    q = float(q_of(90, 13.5))
    y, x = TILTED.ring(q)
    spread = np.linalg.svd(np.c_[y - y.mean(), x - x.mean()])[1]
    assert spread[1] < 1e-9 * spread[0]
    np.testing.assert_allclose(TILTED.two_theta(y, x), 90, rtol=1e-9)
    assert LAB6.ring(q, shape=SHAPE)[0].size == 0


def test_backscattering_meets_a_detector_that_is_tilted_enough():
    y, x = TILTED.ring(float(q_of(140, 13.5)))
    assert y.size
    np.testing.assert_allclose(TILTED.two_theta(y, x), 140)


@pytest.mark.parametrize(
    ("q", "shape"), [(14.0, None), (13.6, None), (0.05, (200, 100)), (9.0, SHAPE)]
)
def test_a_ring_that_is_nowhere_is_empty(q, shape):
    y, x = LAB6.ring(q, shape=shape)
    assert (y.shape, x.shape) == ((0,), (0,))


# --- What cannot be ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("term", "value", "words"),
    [
        ("energy_kev", 0, "greater than 0"),
        ("energy_kev", math.inf, "finite number"),
        ("distance_m", -0.1, "greater than 0"),
        ("x0_px", math.nan, "finite number"),
        ("tilt_deg", 90, "less than 90"),
        ("pixel_size_m", (0, 1e-4), "greater than 0"),
        ("wavelength", 1, "Extra inputs"),
    ],
)
def test_impossible_terms_are_refused_by_name(term, value, words):
    with pytest.raises(ValidationError, match=words) as error:
        Geometry(**(LAB6.model_dump() | {term: value}))
    assert term in str(error.value)


@pytest.mark.parametrize("q", [0, -1, math.nan, math.inf])
def test_a_ring_without_a_q_is_refused(q):
    with pytest.raises(GeometryError, match="q must be a number above 0"):
        LAB6.ring(q)


def test_a_beam_far_outside_the_frame_is_a_mistake():
    LAB6.model_copy(update={"x0_px": -20000.0}).check_frame(SHAPE)
    with pytest.raises(GeometryError, match="px outside a frame of 831 rows and 1475 columns"):
        LAB6.model_copy(update={"x0_px": 210e6}).integrator(SHAPE)
    with pytest.raises(GeometryError, match="no pixels"):
        LAB6.check_frame((0, 5))
    with pytest.raises(GeometryError, match="1 or more"):
        LAB6.for_region(binning=(0, 1))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rot1": math.pi / 2}, "does not meet it"),
        ({"rot2": 3.0}, "rot2 = 3 rad turns the detector by 90 degrees or more"),
        ({"dist": -1.0}, "dist = -1.0 m: it must be a number above 0"),
        ({"wavelength": math.inf}, "wavelength = inf m"),
        ({"rot3": math.nan}, "not finite"),
    ],
)
def test_a_poni_that_no_viewer_can_say_is_refused(changes, words):
    poni = {name: getattr(LAB6.poni(), name) for name in Poni.__slots__}
    with pytest.raises(GeometryError, match=words):
        Geometry.from_poni(Poni(**(poni | changes)))
