"""Step means of a grid of two motors as a map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from femto_bluesky.model.results import DataGroup, Quantity


def as_map(group: DataGroup, start: Mapping[str, Any]) -> DataGroup | None:
    """A curve of steps as an image over the two motors of the grid that a start document describes.

    The first motor, the slow one, has the rows. Each step goes to the point of the grid that is
    nearest to where its motors read, whatever the order; points without a step are NaN. None where
    the run is no grid of two motors, or these do not stand beside the curve.
    """
    hints, shape, extents = (start.get(key) or () for key in ("hints", "shape", "extents"))
    if not hints or hints.get("gridding") != "rectilinear" or not len(shape) == len(extents) == 2:
        return None
    names = [fields[0] for fields, _ in hints.get("dimensions", ())]
    columns = {column.name: column for column in group.columns}
    if len(names) != 2 or not set(names) <= columns.keys():
        return None
    axes, places = [], []
    for name, size, extent in zip(names, shape, extents, strict=True):
        low, high = sorted(map(float, extent))
        step = (high - low) / (size - 1) if size > 1 and high > low else 1.0
        nearest = np.rint((columns[name].values - low) / step)
        places.append(np.clip(nearest, 0, size - 1).astype(int))
        axes.append(replace(columns[name], values=low + step * np.arange(size)))
    image = np.full(tuple(shape), np.nan)
    image[places[0], places[1]] = group.signal.values
    return DataGroup(
        path=f"maps/{group.path.rpartition('/')[2]}",
        title=group.title,
        signal=Quantity(group.signal.name, image, group.signal.units, group.signal.long_name),
        axes=(axes[0], axes[1]),
    )


def with_units(group: DataGroup, units: Mapping[str, str]) -> DataGroup:
    """The same result; axes and columns that are named after a motor have its units."""

    def in_unit(quantity: Quantity) -> Quantity:
        return replace(quantity, units=quantity.units or units.get(quantity.name, ""))

    return replace(
        group,
        axes=tuple(map(in_unit, group.axes)),
        columns=tuple(map(in_unit, group.columns)),
    )
