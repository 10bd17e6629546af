"""Where a flat detector stands: what each of its pixels means, in the terms of the viewer.

The viewer's terms are those of Fit2D: the distance along the beam, the pixel that the direct beam
meets, and a tilt with its direction. pyFAI's are those of a PONI file: the distance along the
detector's normal, where that normal meets the detector, and three rotations. pyFAI itself does the
sums: J. Kieffer et al., J. Synchrotron Rad. 27 (2020) 558, https://pyfai.readthedocs.io.

Two ways of counting pixels meet here. A *setting* (`x0_px`, `y0_px`, and a PONI's metres) counts
from the outer edge of the first pixel, as Fit2D, PONI files and the viewer do: pixel i reaches from
i to i + 1. A *position* (arguments and results of `q`, `ring`, `beam` and the rest) counts as
photons are counted everywhere else in this package: whole numbers are the centres of pixels, and
pixel i reaches from i - 0.5 to i + 0.5. So a beam of `x0_px` = 210 is at the position x = 209.5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator

from femto_bluesky.model.ring_curves import ring_curve

HC_KEV_ANGSTROM = 12.398419843320026  # h c, exact in the SI of 2019

# What two rotations about the beam may differ by (rad) and be the same: pyFAI's arc cosines lose
# half of the digits.
_SAME_ROTATION = 1e-7
# Above this a value is hardly meant: the unit that it is in, and the one that was meant.
_TOO_LARGE = {"energy_kev": (200.0, "keV", "eV"), "distance_m": (50.0, "m", "mm")}
# A beam that is further from the frame than this many of its diagonals is a mistake.
_FARTHEST_BEAM = 100

Floats = NDArray[np.float64]
Positive = Annotated[float, Field(gt=0)]


class GeometryError(ValueError):
    """A geometry that cannot be, or cannot be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Poni:
    """A flat detector in pyFAI's terms: metres and radians, under pyFAI's names.

    `dist` is the distance along the detector's normal, `poni1` and `poni2` are where that normal
    from the sample meets it (rows and columns, from the outer edge of the first pixel), `pixel1`
    and `pixel2` the height and width of a pixel. Rows and columns are those of the image as it is
    stored: pyFAI's detector orientation 3.
    """

    dist: float
    poni1: float
    poni2: float
    rot1: float
    rot2: float
    rot3: float
    wavelength: float
    pixel1: float
    pixel2: float


class Geometry(BaseModel):
    """Where a flat detector stands and what it is lit with, in the terms of the viewer (Fit2D)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    energy_kev: float = Field(gt=0, description="photon energy, keV")
    distance_m: float = Field(
        gt=0,
        description="from the sample to where the direct beam meets the detector's plane, along "
        "the beam, in metres",
    )
    x0_px: float = Field(
        description="column where the direct beam meets the detector, counted from the outer edge "
        "of the first pixel: pixel i reaches from i to i + 1"
    )
    y0_px: float = Field(
        description="row where the direct beam meets the detector, counted in the same way"
    )
    tilt_deg: float = Field(
        default=0.0,
        gt=-90,
        lt=90,
        description="angle between the beam and the detector's normal, degrees",
    )
    rotation_deg: float = Field(
        default=0.0,
        description="direction in which the tilted detector leans away from the sample (Fit2D's "
        "tilt plane rotation), degrees: 0 is towards higher columns, 90 towards higher rows; it "
        "means nothing without a tilt",
    )
    rot3_deg: float | None = Field(
        default=None,
        description="rotation about the beam (a PONI's rot3), degrees: it turns the azimuth chi "
        "and changes neither q nor rings; None: as Fit2D has it",
    )
    pixel_size_m: tuple[Positive, Positive] = Field(
        description="height and width of a pixel in metres; one number: pixels are square"
    )

    @field_validator("pixel_size_m", mode="before")
    @classmethod
    def _is_square(cls, value: Any) -> Any:
        is_one_number = isinstance(value, int | float | str) and not isinstance(value, bool)
        return (value, value) if is_one_number else value

    @property
    def wavelength_angstrom(self) -> float:
        """The wavelength, 1/10 nm."""
        return HC_KEV_ANGSTROM / self.energy_kev

    @property
    def beam(self) -> tuple[float, float]:
        """The position (y, x) where the direct beam meets the detector; centres are whole."""
        return self.y0_px - 0.5, self.x0_px - 0.5

    def doubts(self, detector: str) -> list[str]:
        """Which values are likely to be in another unit than is meant, in words."""
        found = {name: getattr(self, name) for name in _TOO_LARGE}
        return [
            f"{name} of {detector!r} is {found[name]:g} {unit}: is that in {other}?"
            for name, (most, unit, other) in _TOO_LARGE.items()
            if found[name] > most
        ]

    def poni(self) -> Poni:
        """The same geometry in pyFAI's terms, as pyFAI's own conversion from Fit2D gives it.

        The direct beam stays where it is to 2e-8 of the distance, at a metre 1e-4 px of 172 um:
        pyFAI takes arc cosines of numbers near 1.
        """
        return _poni(self)

    @classmethod
    def from_poni(cls, poni: Poni) -> Geometry:
        """The geometry of a PONI, with a tilt of 0 to 90 degrees and a rotation of -180 to 180.

        Nothing is lost: Fit2D has no word for a PONI's third rotation, which turns only the
        azimuth; where it is another than Fit2D's tilt implies (by 1e-7 rad), it is kept as
        `rot3_deg`. Raises `GeometryError` for a detector that the direct beam does not meet (one
        turned by 90 degrees or more), and for a distance, wavelength or pixel that is not positive.
        """
        return _from_poni(poni)

    def for_region(
        self, origin: tuple[int, int] = (0, 0), binning: tuple[int, int] = (1, 1)
    ) -> Geometry:
        """The geometry of a readout region, of which this one is the whole sensor's.

        `origin` is the first row and column of the region on the sensor (`Shot.origin`), `binning`
        how many rows and columns of the sensor make one of the frame.
        """
        if min(binning) < 1:
            raise GeometryError(f"a binning of {binning} pixels: both numbers must be 1 or more")
        (y0, x0), (rows, columns) = origin, binning
        height, width = self.pixel_size_m
        return self.model_copy(
            update={
                "y0_px": (self.y0_px - y0) / rows,
                "x0_px": (self.x0_px - x0) / columns,
                "pixel_size_m": (height * rows, width * columns),
            }
        )

    def q(self, y: ArrayLike, x: ArrayLike) -> Floats:
        """The scattering vector at positions (whole numbers: centres of pixels), 1/A."""
        return self._at("qFunction", y, x) / 10  # pyFAI's are 1/nm

    def d(self, y: ArrayLike, x: ArrayLike) -> Floats:
        """The spacing of lattice planes that scatter to positions, 2 pi / q, in A.

        Infinite in the direct beam.
        """
        with np.errstate(divide="ignore"):
            return np.asarray(2 * np.pi / self.q(y, x))

    def two_theta(self, y: ArrayLike, x: ArrayLike) -> Floats:
        """The angle between the direct beam and the rays to positions, degrees."""
        return np.degrees(self._at("tth", y, x))

    def chi(self, y: ArrayLike, x: ArrayLike) -> Floats:
        """The azimuth of positions around the beam, degrees, -180 to 180.

        0 is towards higher columns, 90 towards higher rows.
        """
        return np.degrees(self._at("chi", y, x))

    def _at(self, name: str, y: ArrayLike, x: ArrayLike) -> Floats:
        rows, columns = np.broadcast_arrays(np.asarray(y, np.float64), np.asarray(x, np.float64))
        # In one dimension: pyFAI takes the shape of an image for that of the detector, and keeps it
        values = getattr(_in_pyfai(self), name)(rows.ravel(), columns.ravel())
        return np.asarray(values, np.float64).reshape(rows.shape)

    def ring(
        self, q: float, n: int = 361, shape: tuple[int, int] | None = None
    ) -> tuple[Floats, Floats]:
        """The curve of one q (1/A) on the detector: positions y and x.

        A closed curve ends where it begins; on a strongly tilted detector it may be open, a
        parabola or a hyperbola. With the `shape` (rows, columns) of a frame it is cut at the
        outer edges of the frame's pixels. Each piece has `n` points, NaN stands between pieces,
        and where nothing of the ring meets the detector (or q is more than the energy can reach)
        both arrays are empty. Raises `GeometryError` unless q is above 0.
        """
        if not 0 < q < math.inf:
            raise GeometryError(f"a ring of q = {q} 1/A: q must be a number above 0")
        sine = q * self.wavelength_angstrom / (4 * math.pi)
        if sine > 1:
            return np.empty(0), np.empty(0)
        poni = self.poni()
        pixels = np.array(self.pixel_size_m)
        edges = None
        if shape is not None:
            height, width = shape * pixels
            edges = ((0.0, float(height)), (0.0, float(width)))
        y, x = ring_curve(
            _in_pyfai(self).rotation_matrix(),
            poni.dist,
            (poni.poni1, poni.poni2),
            2 * math.asin(sine),
            edges=edges,
            n=n,
        )
        return y / pixels[0] - 0.5, x / pixels[1] - 0.5

    def integrator(self, shape: tuple[int, int] | None = None) -> Any:
        """A new pyFAI AzimuthalIntegrator for frames of `shape` (rows, columns) where it is known.

        Raises `GeometryError` where the beam is so far outside the frame that a number must be
        wrong.
        """
        from pyFAI.integrator.azimuthal import AzimuthalIntegrator

        if shape is not None:
            self.check_frame(shape)
        return AzimuthalIntegrator(**_arguments(self.poni(), shape))

    def check_frame(self, shape: tuple[int, int]) -> None:
        """Raise `GeometryError` unless frames of `shape` (rows, columns) may have this geometry."""
        rows, columns = shape
        if min(shape) < 1:
            raise GeometryError(f"a frame of the shape {shape} has no pixels to give a geometry to")
        outside = math.hypot(
            self.y0_px - min(max(self.y0_px, 0), rows),
            self.x0_px - min(max(self.x0_px, 0), columns),
        )
        if outside > _FARTHEST_BEAM * math.hypot(rows, columns):
            raise GeometryError(
                f"the direct beam is at x0_px = {self.x0_px:g}, y0_px = {self.y0_px:g}, which is "
                f"{outside:g} px outside a frame of {rows} rows and {columns} columns; both are "
                "counted in pixels: check them"
            )


def two_theta_of(q: ArrayLike, energy_kev: float) -> Floats:
    """The scattering angle of q (1/A) in degrees; NaN where q is more than the energy can reach.

    >>> round(float(two_theta_of(1.512, 13.5)), 3)
    12.689
    """
    sine = np.asarray(q, np.float64) * HC_KEV_ANGSTROM / (4 * np.pi * energy_kev)
    with np.errstate(invalid="ignore"):
        return np.asarray(2 * np.degrees(np.arcsin(sine)))


def q_of(two_theta_deg: ArrayLike, energy_kev: float) -> Floats:
    """The q (1/A) of a scattering angle in degrees: 4 pi / wavelength sin(theta)."""
    theta = np.radians(np.asarray(two_theta_deg, np.float64)) / 2
    return np.asarray(4 * np.pi * energy_kev / HC_KEV_ANGSTROM * np.sin(theta))


def _arguments(poni: Poni, shape: tuple[int, int] | None = None) -> dict[str, Any]:
    """What pyFAI's classes of geometry are made with."""
    from pyFAI.detectors import Detector

    detector = Detector(poni.pixel1, poni.pixel2, max_shape=shape, orientation=3)
    terms = ("dist", "poni1", "poni2", "rot1", "rot2", "rot3", "wavelength")
    return {"detector": detector} | {name: getattr(poni, name) for name in terms}


# Frames ask again and again; a geometry is a value, so what it is in pyFAI's terms can be kept.
@lru_cache(maxsize=64)
def _poni(geometry: Geometry) -> Poni:
    from pyFAI.detectors import Detector
    from pyFAI.geometry.fit2d import Fit2dGeometry, convert_from_Fit2d

    height, width = geometry.pixel_size_m
    found = convert_from_Fit2d(
        Fit2dGeometry(
            directDist=geometry.distance_m * 1e3,
            centerX=geometry.x0_px,
            centerY=geometry.y0_px,
            tilt=geometry.tilt_deg,
            tiltPlanRotation=geometry.rotation_deg,
            detector=Detector(height, width, orientation=3),
            wavelength=geometry.wavelength_angstrom,
        )
    )
    rot3 = found.rot3 if geometry.rot3_deg is None else math.radians(geometry.rot3_deg)
    return Poni(
        dist=float(found.dist),
        poni1=float(found.poni1),
        poni2=float(found.poni2),
        rot1=float(found.rot1),
        rot2=float(found.rot2),
        rot3=float(rot3),
        wavelength=geometry.wavelength_angstrom * 1e-10,
        pixel1=height,
        pixel2=width,
    )


@lru_cache(maxsize=64)
def _in_pyfai(geometry: Geometry) -> Any:
    from pyFAI.geometry import Geometry as PyfaiGeometry

    return PyfaiGeometry(**_arguments(_poni(geometry)))


def _from_poni(poni: Poni) -> Geometry:
    from pyFAI.geometry import Geometry as PyfaiGeometry
    from pyFAI.geometry.fit2d import convert_to_Fit2d

    for name in ("dist", "wavelength", "pixel1", "pixel2"):
        value = getattr(poni, name)
        if not 0 < value < math.inf:
            raise GeometryError(f"a PONI with {name} = {value} m: it must be a number above 0")
    turns = (poni.rot1, poni.rot2, poni.rot3)
    if not all(math.isfinite(value) for value in (*turns, poni.poni1, poni.poni2)):
        raise GeometryError(f"a PONI with a number that is not finite: {poni}")
    if math.cos(poni.rot1) * math.cos(poni.rot2) < 1e-9:
        raise GeometryError(
            f"a PONI with rot1 = {poni.rot1:g} and rot2 = {poni.rot2:g} rad turns the detector by "
            "90 degrees or more, so that the direct beam does not meet it; the viewer's terms "
            "(distance along the beam, x0, y0, tilt) cannot describe it"
        )
    found = convert_to_Fit2d(PyfaiGeometry(**_arguments(poni)))
    geometry = Geometry(
        energy_kev=HC_KEV_ANGSTROM / (poni.wavelength * 1e10),
        distance_m=found.directDist / 1e3,
        x0_px=found.centerX,
        y0_px=found.centerY,
        tilt_deg=found.tilt,
        rotation_deg=found.tiltPlanRotation,
        pixel_size_m=(poni.pixel1, poni.pixel2),
    )
    apart = math.remainder(poni.rot3 - geometry.poni().rot3, 2 * math.pi)
    if abs(apart) <= _SAME_ROTATION:
        return geometry
    return geometry.model_copy(update={"rot3_deg": math.degrees(poni.rot3)})
