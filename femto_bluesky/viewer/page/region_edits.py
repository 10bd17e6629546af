"""What can be done to regions: each gives the regions as they are afterwards, and its own name.

They are called between two other changes, with the regions as they are then, so two browsers that
change different regions at once lose nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from femto_bluesky.model.rois import Roi, RoiError

Regions = Mapping[str, Roi]

Edit = Callable[[Regions], tuple[dict[str, Roi], str | None]]
"""From the regions as they are to those after the change, and the one to be selected then."""

EDGES: Final = ("x0", "y0", "x1", "y1")


def first_free_name(regions: Regions, stem: str = "ROI") -> str:
    """The first of "ROI 1", "ROI 2", ... that no region has.

    >>> first_free_name({"ROI 1": Roi(x0=0, y0=0, x1=1, y1=1)})
    'ROI 2'
    """
    taken = {name.casefold() for name in regions}
    return next(
        name for i in range(1, len(regions) + 2) if (name := f"{stem} {i}").casefold() not in taken
    )


def add(regions: Regions, roi: Roi) -> tuple[dict[str, Roi], str]:
    """A new region, with the first free name."""
    name = first_free_name(regions)
    return {**regions, name: roi}, name


def copy(regions: Regions, name: str) -> tuple[dict[str, Roi], str]:
    """A second region of the same size, at the same place: to be moved away."""
    new = first_free_name(regions)
    return {**regions, new: _held(regions, name)}, new


def delete(regions: Regions, name: str) -> tuple[dict[str, Roi], None]:
    """All but this one; what somebody else has deleted meanwhile is gone anyway."""
    return {other: roi for other, roi in regions.items() if other != name}, None


def rename(regions: Regions, name: str, new: str) -> tuple[dict[str, Roi], str]:
    """Another name, in the same place of the list."""
    new = new.strip()
    _held(regions, name)
    if not new:
        raise RoiError(f"the region {name!r} needs a name: a letter or a digit at least")
    if new != name and new in regions:
        raise RoiError(f"there is a region {new!r} already; take another name for {name!r}")
    return {new if other == name else other: roi for other, roi in regions.items()}, new


def change(regions: Regions, name: str, values: Mapping[str, Any]) -> tuple[dict[str, Roi], str]:
    """Other values of `x0`, `y0`, `x1`, `y1` (columns and rows, half open) or `detector`.

    Raises `ValidationError` where they are no box.
    """
    found = {**_held(regions, name).model_dump(), **values}
    return {**regions, name: Roi.model_validate(found)}, name


def shift(regions: Regions, name: str, dx: int, dy: int) -> tuple[dict[str, Roi], str]:
    """The same box, `dx` columns to the right and `dy` rows down; not beyond column or row 0."""
    old = _held(regions, name)
    dx, dy = max(dx, -old.x0), max(dy, -old.y0)
    moved = {"x0": old.x0 + dx, "x1": old.x1 + dx, "y0": old.y0 + dy, "y1": old.y1 + dy}
    return change(regions, name, moved)


def take_in(regions: Regions, others: Regions) -> tuple[dict[str, Roi], str]:
    """Those of a file beside those there are, or in their place where they have the same name.

    One that names no detector stays on that of the one before it.
    """
    found = {
        name: roi.model_copy(update={"detector": regions[name].detector})
        if roi.detector is None and name in regions
        else roi
        for name, roi in others.items()
    }
    return {**regions, **found}, next(iter(found))


def drawn(edges: Mapping[str, float], within: tuple[int, int] | None = None) -> dict[str, int]:
    """The edges of a box that was drawn, on whole pixels; pixel i reaches from i to i + 1.

    `edges` are its `left`, `top`, `right` and `bottom`, `within` the rows and columns of an image,
    whose edge cuts it off.

    >>> drawn({"left": 10.4, "top": -3.0, "right": 2.6, "bottom": 8.7}, within=(8, 40))
    {'x0': 3, 'y0': 0, 'x1': 10, 'y1': 8}
    """
    x0, x1 = sorted((round(edges["left"]), round(edges["right"])))
    y0, y1 = sorted((round(edges["top"]), round(edges["bottom"])))
    if within is not None:
        (y0, y1), (x0, x1) = (
            (min(max(begin, 0), n), min(max(end, 0), n))
            for (begin, end), n in zip(((y0, y1), (x0, x1)), within, strict=True)
        )
    return {"x0": x0, "y0": y0, "x1": x1, "y1": y1}


def _held(regions: Regions, name: str) -> Roi:
    if name not in regions:
        there_are = ", ".join(map(repr, regions)) or "none"
        raise RoiError(
            f"there is no region {name!r} any more: it was deleted or renamed meanwhile; "
            f"there are: {there_are}"
        )
    return regions[name]
