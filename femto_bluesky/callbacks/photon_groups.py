"""The curves and images that `PhotonDetection` shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.callbacks.photon_columns import OF_SHOT, OF_STEP
from femto_bluesky.model.photons import EnergyBins
from femto_bluesky.model.results import DataGroup, Quantity
from femto_bluesky.model.table import ShotTable, step_axis


def number_groups(
    detector: str, table: ShotTable, run: str, steps: Mapping[str, NDArray[Any]]
) -> list[DataGroup]:
    """Photons a shot on a detector: the mean of each step of a run, and each shot.

    `steps` are the columns of `PhotonDetection.result`.
    """
    x, others = step_axis(table.steps(run))
    rows = table.rows(run)
    of_step = {key: steps[f"{detector}_{key}"] for key in OF_STEP}
    # a run in which every frame is crowded has no column of photons
    none = np.full(len(rows["shot"]), np.nan)
    of_shot = {key: rows.get(f"{detector}_{key}", none) for key in OF_SHOT}
    return [
        DataGroup(
            path=f"photons_of_steps/{detector}",
            title=f"Photons a shot on {detector}, mean of each step",
            signal=Quantity("n_photons_mean", of_step["n_photons_mean"], "", "photons a shot"),
            axes=(x,),
            errors=np.nan_to_num(of_step["n_photons_std"], nan=0.0),
            errors_name="std of the shots",
            columns=(
                *(Quantity(key, of_step[key]) for key in OF_STEP if key != "n_photons_mean"),
                *others,
            ),
        ),
        DataGroup(
            path=f"photons_of_shots/{detector}",
            title=f"Photons of each shot on {detector}",
            signal=Quantity("n_photons", of_shot["n_photons"], "", "photons"),
            axes=(Quantity("shot", rows["shot"]),),
            columns=tuple(Quantity(key, of_shot[key]) for key in OF_SHOT if key != "n_photons"),
        ),
    ]


def energy_groups(
    detector: str,
    table: ShotTable,
    run: str,
    bins: EnergyBins,
    of_steps: Mapping[int, NDArray[np.int64]],
) -> list[DataGroup]:
    """The histogram of energies of a run, and where several steps have one, of each step."""
    none = np.zeros(bins.n, np.int64)
    counts = sum(of_steps.values(), start=none)
    energy = Quantity("energy", bins.centres, "adu")
    whole = DataGroup(
        path=f"energy_histogram/{detector}",
        title=f"Energies of {counts.sum()} photons on {detector}",
        signal=Quantity("n_photons", counts, "", "photons"),
        axes=(energy,),
    )
    if len(of_steps) < 2:
        return [whole]
    steps = table.steps(run)
    rows = np.array([of_steps.get(step, none) for step, _ in steps])
    by_step = DataGroup(
        path=f"energies_of_steps/{detector}",
        title=f"Energies of the photons of each step on {detector}",
        signal=Quantity("n_photons", rows, "", "photons"),
        axes=(step_axis(steps)[0], energy),
    )
    return [whole, by_step]
