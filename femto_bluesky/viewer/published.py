"""The published tree: what viewers find of an analysis, under the names that they know.

For each detector, under `/detectors/<detector>`, and of one of them at the root too:

    image                       the sum of the clean frames; when stopped, the newest frame
    mask                        true where the image carries no data
    accumulated_number          frames in it
    pixel_size                  height and width of a pixel in metres, where known
    crop/{top,right,bottom,left}    pixels of the sensor that are not read out; 0 where not known
    roi_means/<region>          the mean of each shot
    step_means/<region>/{x,y,y_errors}  the mean of each step: a plot (NXdata)
    max_e                       the largest energy of a photon in each shot
    energy_histogram, azimuthal, ...    what else the analysis shows, as plots
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.model.results import DataGroup, Quantity
from femto_bluesky.model.rois import slug
from femto_bluesky.viewer.tree import Dataset, Node, Tree, TreeGroup

Members = dict[str, Node]
MAX_ENERGY = "photon_energy_max"


def published(
    groups: Iterable[DataGroup], regions: Collection[str] = (), detector: str | None = None
) -> Tree:
    """The tree of what an analysis shows; `groups` must not be changed any more.

    `regions` are the full names of the regions, under which their curves stand. `detector` is that
    of the root; without one, or where it has shown nothing yet, the first in the alphabet.
    """
    groups = list(groups)
    names = _detectors(groups)
    full = {slug(region): region for region in regions}
    of: dict[str, Members] = {name: {} for name in names}
    for group in groups:
        kind, _, rest = group.path.partition("/")
        owner = _owner(rest, names)
        if owner is not None:
            column = rest.removeprefix(owner).removeprefix("_")
            _place(of[owner], kind, full.get(column, column), group)
    collection = {"NX_class": "NXcollection"}
    shown = detector if detector in of else next(iter(names), None)
    members: Members = dict(of[shown]) if shown is not None else {}
    # there from the start, so that a viewer that was opened early finds them
    for name in ("roi_means", "step_means"):
        members.setdefault(name, TreeGroup({}, collection))
    root: dict[str, Any] = {"NX_class": "NXroot"}
    if shown is not None:
        root |= {"detector": shown, "default": _default(members)}
    detectors = {name: TreeGroup(found, {"NX_class": "NXentry"}) for name, found in of.items()}
    members["detectors"] = TreeGroup(detectors, collection)
    return Tree(TreeGroup(members, root))


def _detectors(groups: Iterable[DataGroup]) -> list[str]:
    found = {str(g.attributes["detector"]) for g in groups if "detector" in g.attributes}
    return sorted(found)


def _owner(rest: str, names: Iterable[str]) -> str | None:
    """The detector with whose name a path goes on: the longest, for one may begin like another."""
    fitting = [name for name in names if rest == name or rest.startswith(f"{name}_")]
    return max(fitting, key=len, default=None)


def _default(members: Mapping[str, Node]) -> str:
    """The plot that a viewer opens first."""
    steps = members.get("step_means")
    has_steps = isinstance(steps, TreeGroup) and len(steps.members) > 0
    order = ["step_means"] * has_steps + ["azimuthal", "energy_histogram"]
    return next((name for name in order if name in members), "image")


def _place(members: Members, kind: str, name: str, group: DataGroup) -> None:
    """Put one result where viewers look for it."""
    if kind == "accumulated":
        members |= _image(group)
    elif kind == "roi_means":
        values = Dataset(group.signal.values, _described(group.signal) | {"title": group.title})
        _collect(members, kind, name, values)
    elif kind == "step_means":
        _collect(members, kind, name, _plot(group))
    else:
        members[f"{kind}_{name}" if name else kind] = _plot(group)
    for column in group.columns:
        if kind == "photons_of_shots" and column.name == MAX_ENERGY:
            members["max_e"] = Dataset(column.values, _described(column))


def _collect(members: Members, kind: str, name: str, node: Node) -> None:
    before = members.get(kind)
    held = dict(before.members) if isinstance(before, TreeGroup) else {}
    held[name.replace("/", "_") or "_"] = node
    attributes = {"NX_class": "NXcollection"}
    if kind == "step_means":
        attributes["default"] = next(iter(held))
    members[kind] = TreeGroup(held, attributes)


def _image(group: DataGroup) -> Members:
    at = group.attributes
    told = {key: at[key] for key in ("total", "hottest", "why_reset") if key in at}
    image = Dataset(
        group.signal.values,
        _described(group.signal) | {"title": group.title, "interpretation": "image", **told},
    )
    found: Members = {
        "image": image,
        "accumulated_number": Dataset(np.array(at["n_frames"], np.int64)),
        "crop": TreeGroup(
            {
                "top": Dataset(np.array(at.get("y_origin", 0), np.int64)),
                "right": Dataset(np.array(0)),
                "bottom": Dataset(np.array(0)),
                "left": Dataset(np.array(at.get("x_origin", 0), np.int64)),
            }
        ),
    }
    if group.mask is not None:
        found["mask"] = Dataset(group.mask, {"long_name": "true where there is no data"})
    if "y_pixel_size_m" in at:
        size = np.array([at["y_pixel_size_m"], at["x_pixel_size_m"]], np.float64)
        found["pixel_size"] = Dataset(size, {"units": "m"})
    return found


def _plot(group: DataGroup) -> TreeGroup:
    """A curve as x, y, y_errors; an image as z, with its axes y and x. Columns stand beside it."""
    is_curve = group.signal.values.ndim == 1
    signal, names = ("y", ["x"]) if is_curve else ("z", ["y", "x"])
    members: Members = {signal: Dataset(group.signal.values, _described(group.signal), grows=True)}
    for i, (name, axis) in enumerate(zip(names, _axes(group), strict=True)):
        members[name] = Dataset(axis.values, _described(axis), grows=i == 0)
    if group.errors is not None:
        errors = np.asarray(group.errors, np.float64)
        # viewers fail at errors that are negative or no number
        errors = np.where(np.isfinite(errors) & (errors > 0), errors, 0.0)
        members[f"{signal}_errors"] = Dataset(errors, {"long_name": group.errors_name}, grows=True)
    for column in group.columns:
        name = column.name.replace("/", "_")
        while name in {*members, "title"}:
            name += "_"
        members[name] = Dataset(column.values, _described(column), grows=True)
    members["title"] = Dataset(np.array(group.title))
    at = group.attributes
    told = {key: at[key] for key in ("calibrant", "n_frames") if key in at}
    attributes = {"NX_class": "NXdata", "signal": signal, "axes": names, **told}
    return TreeGroup(members, attributes, length=len(group.signal.values))


def _axes(group: DataGroup) -> list[Quantity]:
    if group.axes:
        return [_numbers(axis) for axis in group.axes]
    return [Quantity("pixel", np.arange(n), "px") for n in group.signal.values.shape]


def _numbers(axis: Quantity) -> Quantity:
    """The axis; where it is text, which viewers do not plot, the numbers of its values."""
    values: NDArray[Any] = np.asarray(axis.values)
    if values.dtype.kind in "iuf":
        return axis
    return Quantity(axis.name, np.arange(len(values)), long_name=f"{axis.label} (index)")


def _described(quantity: Quantity) -> dict[str, Any]:
    text = quantity.label if quantity.units else quantity.long_name or quantity.name
    found = {"long_name": text}
    if quantity.units:
        found["units"] = quantity.units
    return found
