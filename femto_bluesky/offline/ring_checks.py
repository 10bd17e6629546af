"""When rings do not support a calibration, and how that is said."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.model.geometry import Geometry
from femto_bluesky.offline.ring_fit import Fit
from femto_bluesky.offline.ring_image import CalibrationError, RingImage
from femto_bluesky.offline.ring_parameters import NAMES, Parameters
from femto_bluesky.offline.ring_search import FARTHEST_MM, FARTHEST_SHARE, Found, SectorRows

Array = NDArray[np.float64]

LEAST_EVIDENCE = 6.0
"""Standard deviations. Chance gives 4 to the best of all trials of the search."""

_RING = 7.0  # a ring of no calibrant has to be so sure, in standard deviations,
_OTHER_SHARE = 0.25  # and so sure beside the surest of the calibrant
_NEAR = 2.5  # widths within which a ring is that of the table
_MOST_SCATTER = 0.8  # widths of a ring

_LIMITS = {"distance_m": 0.01, "energy_kev": 0.01}  # shares
_LIMIT_MM = 0.6
_LIMIT_DEG = 2.0


def check_search(found: Found, name: str, image: RingImage, start: Geometry) -> None:
    """Raise `CalibrationError` unless the search has found rings."""
    if found.evidence >= LEAST_EVIDENCE:
        return
    q, evidence = _rings(image, start, found.width_mm)
    reach = f"within {FARTHEST_MM:g} mm and {FARTHEST_SHARE:.0%} of the start"
    told = (
        f"no rings of {name} are seen {reach}: the best trial has an evidence of "
        f"{found.evidence:.1f} standard deviations, {LEAST_EVIDENCE:g} are needed"
    )
    if len(q):
        strong = q[np.argsort(-evidence)[:4]]
        raise CalibrationError(
            f"{told}. There are rings, near q = {_listed(np.sort(strong))} 1/A by the start: it is "
            f"too far off, or the powder is not {name}"
        )
    raise CalibrationError(f"{told}. Take a longer sum, or check the start and the mask")


def check_rings(
    image: RingImage, geometry: Geometry, lines: Array, widths: Array, name: str
) -> None:
    """Raise `CalibrationError` where sure rings lie where the calibrant has no line."""
    width = float(np.median(widths))
    rows = SectorRows.of(image, geometry)
    q, evidence = _rings(image, geometry, max(width / rows.q_of_mm, 0.1), rows)
    if len(q):
        own = np.abs(q[:, None] - lines).min(axis=1) < _NEAR * np.interp(q, lines, widths)
        surest = float(evidence[own].max(initial=0))
        other = ~own & (evidence > _OTHER_SHARE * surest)
        if other.any():
            raise CalibrationError(
                f"there are rings at q = {_listed(q[other])} 1/A, where {name} has none: the "
                "powder is another one, or the start is too far off (more than "
                f"{FARTHEST_MM:g} mm or {FARTHEST_SHARE:.0%}, or its energy is wrong)"
            )


def check_scatter(fit: Fit, name: str) -> None:
    """Raise `CalibrationError` where the rings are far from where the calibrant has them."""
    if fit.graininess > _MOST_SCATTER:
        raise CalibrationError(
            f"the rings do not lie where {name} has them: their sectors scatter by "
            f"{fit.graininess:.2f} widths of a ring beside their counts, and {_MOST_SCATTER:g} is "
            "the most that a grainy powder explains; refine more, or check calibrant and start"
        )


def check_certainty(fit: Fit, parameters: Parameters, refine: Sequence[str]) -> None:
    """Raise `CalibrationError` where the rings leave a parameter uncertain, and say which."""
    names = parameters.names
    n_rings = len(np.unique(fit.cells.ring))
    if n_rings < 2 and {"distance_m", "energy_kev"} <= set(names):
        raise CalibrationError(
            f"one ring is seen (q = {fit.cells.line[0]:.3g} 1/A), which tells the distance or the "
            "energy but not both; refine one of them"
        )
    errors = np.sqrt(np.diag(fit.covariance))
    excess = errors / _limits(parameters)
    worst = int(np.argmax(excess))
    if excess[worst] <= 1:
        return
    correlation = fit.covariance[worst] / (errors * errors[worst])
    correlation[worst] = 0
    other = int(np.argmax(np.abs(correlation)))
    covered = len(np.unique((fit.cells.chi_deg + 180) // 10)) * 10
    told = (
        f"{names[worst]} would be uncertain by {errors[worst]:.2g}, from {n_rings} "
        f"ring{'s' * (n_rings > 1)} over {covered} degrees of azimuth"
    )
    word = {one: key for key, ones in NAMES.items() for one in ones}
    if abs(correlation[other]) > 0.9:
        pair = " and ".join(dict.fromkeys((word[names[worst]], word[names[other]])))
        told += (
            f"; it goes with {names[other]} (correlation {correlation[other]:.3f}): such rings do "
            f"not tell {pair} apart"
        )
    drop = next(
        (w for w in ("tilt", "energy", "distance") if w in refine and w in {
            word[names[worst]], word[names[other]]}),
        None,
    )  # fmt: skip
    left = tuple(w for w in refine if w != drop)
    remedy = f"refine={left}" if drop and left else "take a longer sum"
    raise CalibrationError(f"{told}. Refine fewer parameters ({remedy}), or see more of the rings")


def _limits(parameters: Parameters) -> Array:
    """What may be uncertain at most."""
    start = parameters.start
    pixels = dict(zip(("y0_px", "x0_px"), start.pixel_size_m, strict=True))
    limits = []
    for name in parameters.names:
        if name in _LIMITS:
            limits.append(_LIMITS[name] * float(getattr(start, name)))
        elif name in pixels:
            limits.append(_LIMIT_MM * 1e-3 / pixels[name])
        else:
            limits.append(_LIMIT_DEG)
    return np.array(limits)


def _rings(
    image: RingImage, geometry: Geometry, width_mm: float, rows: SectorRows | None = None
) -> tuple[Array, Array]:
    """Where there are rings of whatever powder, in q, and how sure they are."""
    from scipy.signal import find_peaks

    rows = rows or SectorRows.of(image, geometry)
    evidence = rows.evidence(width_mm)
    peaks, _ = find_peaks(evidence, height=_RING, distance=3)
    return rows.q[peaks], evidence[peaks]


def _listed(values: Array) -> str:
    more = f" and {len(values) - 5} more" if len(values) > 5 else ""
    return ", ".join(f"{value:.2f}" for value in values[:5]) + more
