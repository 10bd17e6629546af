"""What `PhotonDetection` notes of each shot and gives of each step."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

import numpy as np

from femto_bluesky.model.table import Column, statistics
from femto_bluesky.stream.analysis import Row

Declared = Mapping[str, tuple[str, Literal["number", "integer"], str]]

OF_SHOT: Declared = {
    "n_photons": ("photons found; none where there are too many to be counted", "integer", ""),
    "n_photons_by_energy": ("photons, in units of one photon's energy", "integer", ""),
    "photon_energy_max": ("the largest energy", "number", "adu"),
    "n_overlaps": ("photons whose energy is that of two or more", "integer", ""),
    "n_hot_pixels": ("hits that were dropped as hot pixels", "integer", ""),
    "overlap_share_expected": ("of photons that fall at random, those that overlap", "number", ""),
    "is_crowded": ("1: too many photons, the frame was thresholded instead", "integer", ""),
}
"""What is noted of each shot: its meaning, dtype and units."""

OF_STEP: Declared = {
    "n_photons": ("photons of the step", "integer", ""),
    "n_photons_mean": ("photons a shot, mean of the shots that were counted", "number", ""),
    "n_photons_std": ("photons a shot, population standard deviation", "number", ""),
    "n_photons_sem": ("photons a shot, standard error std(ddof=1)/sqrt(n)", "number", ""),
    "n_photons_n": ("shots that were counted", "integer", ""),
    "n_photons_by_energy": OF_SHOT["n_photons_by_energy"],
    "photon_energy_max": OF_SHOT["photon_energy_max"],
    "overlap_share": ("share of the photons that are flagged as overlaps", "number", ""),
    "overlap_share_expected": OF_SHOT["overlap_share_expected"],
    "hot_pixel_share": ("share of the hits that were dropped as hot pixels", "number", ""),
    "n_crowded": ("shots with too many photons to be counted", "integer", ""),
}
"""What is given of each step."""

COLUMNS: Declared = {
    "y": ("row of the photon", "number", "px"),
    "x": ("column of the photon", "number", "px"),
    "energy": ("3x3 sum less dark", "number", "adu"),
    "frame": ("index of the frame in the raw file", "integer", ""),
}
"""What is kept of each photon in its file."""


def counted_detectors(columns: Collection[str]) -> list[str]:
    """The detectors that the columns of a table are of."""
    end = "_is_crowded"
    return sorted(name.removesuffix(end) for name in columns if name.endswith(end))


def typed(value: float | None, dtype: str) -> float | int | None:
    """A number as its declaration says it."""
    return None if value is None else int(value) if dtype == "integer" else float(value)


def of_step(columns: Mapping[str, Column], detector: str) -> Row:
    """The values of `OF_STEP` from the shots of one step."""
    column = {key: columns.get(f"{detector}_{key}", np.zeros(0)) for key in OF_SHOT}
    crowded = column["is_crowded"] == 1
    photons = statistics(column["n_photons"])
    total, hot = np.nansum(column["n_photons"]), np.nansum(column["n_hot_pixels"])
    energies = column["photon_energy_max"][~np.isnan(column["photon_energy_max"])]
    row: dict[str, float | None] = {
        "n_photons": total if photons.n else None,
        "n_photons_mean": photons.mean,
        "n_photons_std": photons.std,
        "n_photons_sem": photons.sem,
        "n_photons_n": photons.n,
        "n_photons_by_energy": np.nansum(column["n_photons_by_energy"]) if photons.n else None,
        "photon_energy_max": float(energies.max()) if len(energies) else None,
        "overlap_share": np.nansum(column["n_overlaps"]) / total if total else None,
        "overlap_share_expected": statistics(column["overlap_share_expected"]).mean,
        "hot_pixel_share": hot / (total + hot) if total + hot else None,
        "n_crowded": int(np.count_nonzero(crowded)),
    }
    return {key: typed(row[key], dtype) for key, (_, dtype, _) in OF_STEP.items()}
