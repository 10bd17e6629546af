"""I(q) as curves and images: for the results file, the pictures and the live page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

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
def _lines(calibrant: str, energy_kev: float) -> tuple[CalibrantLine, ...]:
    return calibrant_lines(calibrant, energy_kev=energy_kev)


def lines_in(q: NDArray[np.float64], geometry: Geometry, calibrant: str | None) -> dict[str, float]:
    """The lines of a calibrant that lie on an axis of q, by their names."""
    if calibrant is None:
        return {}
    lines = _lines(calibrant, geometry.energy_kev)
    return {line.label: line.q for line in lines if q[0] <= line.q <= q[-1]}


@lru_cache(maxsize=16)
def rings_on(geometry: Geometry, shape: tuple[int, int], calibrant: str) -> dict[str, Curve]:
    """The rings of a calibrant on frames of a shape, by the lines' names."""
    rows, columns = shape
    corners = np.array([[-0.5, -0.5, rows - 0.5, rows - 0.5], [-0.5, columns - 0.5] * 2])
    reach = float(geometry.q(*corners).max())
    found = {}
    for line in _lines(calibrant, geometry.energy_kev):
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
) -> DataGroup:
    """I(q) of a run, or of the running sum."""
    frames = "frame" if profile.n_frames == 1 else "frames"
    of = "the running sum" if is_accumulated else "the run"
    sigma = np.nan_to_num(profile.sigma, nan=0.0)
    return DataGroup(
        path=f"azimuthal/{detector}{'_accumulated' * is_accumulated}",
        title=f"I(q) on {detector}, {profile.n_frames} {frames} of {of}",
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
    detector: str, steps: Sequence[tuple[tuple[int, Position], RadialProfile]]
) -> DataGroup:
    """I(q) of each step, as an image: a row for each step, a column for each q."""
    axis, others = step_axis([step for step, _ in steps])
    profiles = [profile for _, profile in steps]
    n_frames = np.array([profile.n_frames for profile in profiles])
    return DataGroup(
        path=f"azimuthal_of_steps/{detector}",
        title=f"I(q) on {detector}, of each step",
        signal=Quantity(
            "intensity", np.array([p.intensity for p in profiles]), "counts/pixel",
            "intensity",
        ),
        axes=(axis, Quantity("q", profiles[0].q, UNITS)),
        errors=np.nan_to_num(np.array([p.sigma for p in profiles]), nan=0.0),
        errors_name="Poisson sigma",
        mask=np.isnan(np.array([p.intensity for p in profiles])),
        columns=(Quantity("n_frames", n_frames), *others),
        attributes={"detector": detector},
    )  # fmt: skip


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
