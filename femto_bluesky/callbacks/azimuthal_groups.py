"""I(q) as curves and images: for the results file, the pictures and the live page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.model.calibrants import CalibrantLine, calibrant_lines
from femto_bluesky.model.geometry import Geometry
from femto_bluesky.model.radial import RadialProfile
from femto_bluesky.model.results import Curve, DataGroup, Quantity
from femto_bluesky.model.table import Position, step_axis

UNITS = "1/angstrom"


# Asked for again and again by a live page, and read from a file each time.
@lru_cache(maxsize=16)
def _lines(
    calibrant: str | None, q_lines: tuple[float, ...], energy_kev: float
) -> tuple[CalibrantLine, ...]:
    """The lines of a calibrant, if there is one, and those at other q, by rising q."""
    lines = () if calibrant is None else calibrant_lines(calibrant, energy_kev=energy_kev)
    others = (OtherLine(q) for q in q_lines)
    return tuple(sorted((*lines, *others), key=lambda line: line.q))


class OtherLine(CalibrantLine):
    """A line of no calibrant; its name is its q as it was given."""

    @property
    def label(self) -> str:
        """The q in 1/A."""
        return f"{self.q:g}"


def lines_in(
    q: NDArray[np.float64],
    geometry: Geometry,
    calibrant: str | None,
    q_lines: tuple[float, ...] = (),
) -> dict[str, float]:
    """The lines of a calibrant, and those at `q_lines`, that lie on an axis of q, by their names.

    The names of the latter are their q in 1/A.
    """
    lines = _lines(calibrant, q_lines, geometry.energy_kev)
    return {line.label: line.q for line in lines if q[0] <= line.q <= q[-1]}


@lru_cache(maxsize=16)
def rings_on(
    geometry: Geometry,
    shape: tuple[int, int],
    calibrant: str | None,
    q_lines: tuple[float, ...] = (),
) -> dict[str, Curve]:
    """The rings of a calibrant, and those at `q_lines`, on frames of a shape, by their names."""
    rows, columns = shape
    corners = np.array([[-0.5, -0.5, rows - 0.5, rows - 0.5], [-0.5, columns - 0.5] * 2])
    reach = float(geometry.q(*corners).max())
    found = {}
    for line in _lines(calibrant, q_lines, geometry.energy_kev):
        if line.q > reach:
            break
        y, x = geometry.ring(line.q, shape=shape)
        if len(y):
            found[line.label] = y, x
    return found


def curve_group(
    detector: str,
    profile: RadialProfile,
    lines: Mapping[str, float],
    *,
    is_accumulated: bool = False,
    is_sum: bool = True,
) -> DataGroup:
    """I(q) of a run, or of what is accumulated: the running sum, or else the newest frame."""
    frames = f"{profile.n_frames} frame{'s' * (profile.n_frames != 1)}"
    of = f"{frames} of the run"
    if is_accumulated:
        of = f"{frames} of the running sum" if is_sum else "the newest frame"
    sigma = np.nan_to_num(profile.sigma, nan=0.0)
    return DataGroup(
        path=f"azimuthal/{detector}{'_accumulated' * is_accumulated}",
        title=f"I(q) on {detector}, {of}",
        signal=Quantity("intensity", profile.intensity, "counts/pixel", "intensity a frame"),
        axes=(Quantity("q", profile.q, UNITS),),
        errors=sigma,
        errors_name="Poisson sigma",
        columns=(
            Quantity("counts", profile.signal, long_name="counts in the bin"),
            Quantity("norm", profile.norm, "px", "valid pixels in the bin, weighted"),
        ),
        lines=dict(lines),
        # the beam beside its stop is a hundred times as strong as any ring
        attributes={"n_frames": profile.n_frames, "detector": detector, "scale": "log"},
    )


def steps_group(
    detector: str, n_bins: int, steps: Iterable[tuple[tuple[int, Position], RadialProfile]]
) -> DataGroup | None:
    """I(q) of each step, as an image: a row for each step, a column for each q.

    None of one step alone. Profiles are taken one by one: of thousands of steps each is let go of.
    """
    seen, rows = [], []
    q = np.empty(0)
    for step, profile in steps:
        seen.append(step)
        rows.append((profile.intensity, profile.sigma, profile.n_frames))
        q = profile.q
    if len(seen) < 2:
        return None
    intensity = np.empty((len(seen), n_bins))
    sigma = np.empty_like(intensity)
    for place, (of_step, error, _) in enumerate(rows):
        intensity[place], sigma[place] = of_step, error
    n_frames = np.array([n for _, _, n in rows])
    del rows
    axis, others = step_axis(seen)
    return DataGroup(
        path=f"azimuthal_of_steps/{detector}",
        title=f"I(q) on {detector}, of each step",
        signal=Quantity("intensity", intensity, "counts/pixel", "intensity"),
        axes=(axis, Quantity("q", q, UNITS)),
        errors=np.nan_to_num(sigma, copy=False, nan=0.0),
        errors_name="Poisson sigma",
        mask=np.isnan(intensity),
        columns=(Quantity("n_frames", n_frames), *others),
        attributes={"detector": detector},
    )


def cake_group(
    detector: str,
    intensity: NDArray[np.float64],
    q: NDArray[np.float64],
    chi: NDArray[np.float64],
    n_frames: int,
) -> DataGroup:
    """I(q, chi): a row for each azimuth, a column for each q."""
    return DataGroup(
        path=f"cake/{detector}",
        title=f"I(q, azimuth) on {detector}, {n_frames} frames",
        signal=Quantity("intensity", intensity, "counts/pixel", "intensity"),
        axes=(Quantity("azimuth", chi, "deg"), Quantity("q", q, UNITS)),
        mask=np.isnan(intensity),
        attributes={"n_frames": n_frames, "detector": detector},
    )


def curve_row(detector: str, profile: RadialProfile | None, n_bins: int) -> dict[str, Any]:
    """I(q) as values of an event; without a profile it is of no frames, and all is 0."""
    if profile is None:
        names = (f"{detector}_{key}" for key in ("q", "intensity", "sigma", "norm"))
        return {f"{detector}_n_frames": 0} | {name: np.zeros(n_bins) for name in names}
    return {
        f"{detector}_n_frames": profile.n_frames,
        f"{detector}_q": profile.q,
        f"{detector}_intensity": np.nan_to_num(profile.intensity, nan=0.0),
        f"{detector}_sigma": np.nan_to_num(profile.sigma, nan=0.0),
        f"{detector}_norm": profile.norm,
    }
