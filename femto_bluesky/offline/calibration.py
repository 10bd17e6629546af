"""Refines where a detector stands on the rings of a powder whose lines are known."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from femto_bluesky.model.calibrants import CalibrantLine, calibrant_lines, calibrant_name
from femto_bluesky.model.geometry import Geometry
from femto_bluesky.model.shots import Mask
from femto_bluesky.model.sums import AccumulatedImage
from femto_bluesky.offline.ring_checks import (
    check_certainty,
    check_rings,
    check_scatter,
    check_search,
)
from femto_bluesky.offline.ring_fit import CellTable, Fit, RingFit, TooFewSeenError
from femto_bluesky.offline.ring_image import CalibrationError, RingImage
from femto_bluesky.offline.ring_parameters import Parameters
from femto_bluesky.offline.ring_search import search

__all__ = ["Calibration", "CalibrationError", "RingSeen", "calibrate"]

Array = NDArray[np.float64]

REFINED = ("distance", "centre", "tilt")
"""What is refined unless something else is asked for. The energy is mostly known better."""

_MOST_LINES = 150


@dataclass(frozen=True, slots=True)
class RingSeen:
    """One ring that took part: where the table has it, and where it was found.

    `q` is that of the table and `shift_q` how far out the ring lies under the refined geometry,
    with its standard error, 1/A. `width_q` is its standard deviation. `significance` is its height
    in standard errors.
    """

    q: float
    label: str
    shift_q: float
    shift_error_q: float
    width_q: float
    significance: float
    n_sectors: int


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """A refined geometry, how sure it is, and what is left.

    `uncertainties` are standard errors in the terms of `Geometry`, of what was refined. They hold
    what the counts and the grains of the powder make uncertain, not what the model leaves out
    (modules that are not where they should be, parallax). `names` and `covariance` are those of
    the parameters that were fitted, in which a tilt has two components. `residuals` are the sectors
    of the rings: how far out each lies (`shift`, in q) and its standard error.
    `graininess` is by how much sectors scatter more than their counts say, in widths of a ring.
    """

    geometry: Geometry
    start: Geometry
    calibrant: str
    refined: tuple[str, ...]
    uncertainties: Mapping[str, float]
    names: tuple[str, ...]
    covariance: Array
    rings: tuple[RingSeen, ...]
    n_rings_on_frame: int
    residuals: CellTable
    graininess: float
    counts_per_photon: float

    @property
    def rms_percent(self) -> float:
        """How far the rings lie from the table: root mean square, weighted, % of q."""
        shift = np.array([ring.shift_q / ring.q for ring in self.rings])
        weight = np.array([(ring.q / ring.shift_error_q) ** 2 for ring in self.rings])
        return float(100 * np.sqrt((weight * shift**2).sum() / weight.sum()))

    def summary(self) -> str:
        """What was refined and how well, in a few lines of words."""
        first = (
            f"{self.calibrant}: {len(self.rings)} of {self.n_rings_on_frame} rings on the frame "
            f"are seen, in {len(self.residuals.shift)} sectors; refined: {', '.join(self.refined)}"
        )
        lines = [first]
        for name, error in self.uncertainties.items():
            value, before = getattr(self.geometry, name), getattr(self.start, name)
            digits = max(0, 1 - math.floor(math.log10(error))) if 0 < error < math.inf else 6
            lines.append(f"  {name} {value:.{digits}f} ± {error:.{digits}f} (before: {before:g})")
        lines.append(f"  the rings lie within {self.rms_percent:.2g} % of the table (rms)")
        if self.graininess > 0.1:
            lines.append(
                f"  sectors scatter by {self.graininess:.2f} widths of a ring beside their counts: "
                "a grainy powder, or modules out of place; the errors hold it"
            )
        return "\n".join(lines)


def calibrate(
    image: NDArray[Any] | AccumulatedImage,
    calibrant: str = "LaB6",
    *,
    start: Geometry,
    refine: Collection[str] = REFINED,
    mask: Mask | None = None,
) -> Calibration:
    """Refine a geometry on an image of a powder, such as the sum of a scan; few counts will do.

    `start` may be off by `ring_search.FARTHEST_MM` on the detector and by `FARTHEST_SHARE` of the
    distance. `refine` names what is refined: "distance", "centre", "tilt", "energy"; what is not
    named stays as it is. Pixels below 0 and NaN are left out, and those that `mask` (rows, columns)
    says. Distance and energy are told apart by rings at large angles only, so refine the energy
    where it is not known well and the rings reach far.

    Raises `CalibrationError` where the rings do not support it and says why: none, too few, of
    another powder, or such that they do not tell two parameters apart. Raises `CalibrantError`,
    `MaskError`, `GeometryError` and `ValueError` for what cannot be.
    """
    name = calibrant_name(calibrant)
    parameters = Parameters.of(refine, start)
    pixels = RingImage.of(image, mask)
    start.check_frame(pixels.shape)
    q = start.q(pixels.y, pixels.x)
    known = _apart(calibrant_lines(name, (float(q.min()), float(q.max()))))
    if not known:
        raise CalibrationError(
            f"no line of {name} falls on the frame, which reaches from q = {q.min():.3g} to "
            f"{q.max():.3g} 1/A; take another calibrant, or check the start"
        )
    lines = np.array([line.q for line in known])
    try:
        found = search(pixels, lines, parameters)
        check_search(found, name, pixels, start)
        fit = RingFit(pixels, lines, parameters, found.values, found.width_mm)
        try:
            chosen = fit.choose()
        except TooFewSeenError:
            # it may be that others are seen instead, which is said then
            check_rings(pixels, parameters.geometry(found.values), lines, fit.widths, name)
            raise
        check_rings(pixels, parameters.geometry(fit.values), lines, chosen.widths, name)
        check_scatter(chosen, name)
        check_certainty(chosen, parameters, tuple(refine))
        last = fit.settle()
        refined = parameters.geometry(last.values)
    except ValidationError as error:
        raise CalibrationError(
            f"the fit left what a geometry can be ({error.errors()[0]['msg']}); the rings do not "
            "support it: refine fewer parameters, or begin nearer"
        ) from error
    if not last.is_settled:
        raise CalibrationError(
            "the fit does not settle: its last steps are still as large as the uncertainties; "
            "refine fewer parameters, or take a longer sum"
        )
    check_rings(pixels, refined, lines, last.widths, name)
    check_scatter(last, name)
    check_certainty(last, parameters, tuple(refine))
    return Calibration(
        geometry=refined,
        start=start,
        calibrant=name,
        refined=tuple(refine),
        uncertainties=_uncertainties(parameters.names, last.covariance, refined),
        names=parameters.names,
        covariance=last.covariance,
        rings=_rings(last, known),
        n_rings_on_frame=int(np.isfinite(last.significance).sum()),
        residuals=last.cells,
        graininess=last.graininess,
        counts_per_photon=last.gain,
    )


def _apart(lines: Sequence[CalibrantLine]) -> list[CalibrantLine]:
    """Lines that stand apart, the innermost ones; of two at one place, the first."""
    found: list[CalibrantLine] = []
    for line in lines:
        if not found or line.q > found[-1].q * (1 + 1e-4):
            found.append(line)
    return found[:_MOST_LINES]


def _uncertainties(
    names: tuple[str, ...], covariance: Array, geometry: Geometry
) -> dict[str, float]:
    """Standard errors in the terms of `Geometry`: a tilt along and across its direction."""
    errors = dict(zip(names, np.sqrt(np.diag(covariance)).tolist(), strict=True))
    if "tilt_x_deg" not in errors:
        return errors
    place = [names.index("tilt_x_deg"), names.index("tilt_y_deg")]
    block = covariance[np.ix_(place, place)]
    angle = math.radians(geometry.rotation_deg)
    along = np.array([math.cos(angle), math.sin(angle)])
    across = np.array([-along[1], along[0]])
    del errors["tilt_x_deg"], errors["tilt_y_deg"]
    errors["tilt_deg"] = float(np.sqrt(along @ block @ along))
    # beyond half a turn the direction is not known at all
    turned = math.atan2(float(np.sqrt(across @ block @ across)), geometry.tilt_deg)
    errors["rotation_deg"] = math.degrees(turned)
    return errors


def _rings(fit: Fit, lines: Sequence[CalibrantLine]) -> tuple[RingSeen, ...]:
    cells, rings = fit.cells, []
    for ring in np.unique(cells.ring):
        of = cells.ring == ring
        weight = cells.weight[of] / cells.error[of] ** 2
        rings.append(
            RingSeen(
                q=lines[ring].q,
                label=lines[ring].label,
                shift_q=float((weight * cells.shift[of]).sum() / weight.sum()),
                shift_error_q=float(weight.sum() ** -0.5),
                width_q=float(fit.widths[ring]),
                significance=float(fit.significance[ring]),
                n_sectors=int(of.sum()),
            )
        )
    return tuple(rings)
