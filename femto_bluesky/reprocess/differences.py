"""What groups have that a reference has not: differences of images, curves and numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.model.results import DataGroup, Quantity
from femto_bluesky.reprocess.group_by import Value
from femto_bluesky.reprocess.summary import GroupSummary, Numbers, in_order


class NoReferenceError(ValueError):
    """A reference that is no group, or more than one; the message says which there are."""


def reference_of(groups: Sequence[GroupSummary], wanted: str = "") -> GroupSummary:
    """The group that others are compared with: the one that is named so, or of this value or scan.

    Without a name it is the first. Raises `NoReferenceError`.
    """
    ordered = in_order(groups)
    if not wanted:
        return ordered[0]
    found = [group for group in ordered if group.name == wanted]
    found = found or [
        group
        for group in ordered
        if wanted == str(group.scan) or any(_is(value, wanted) for value in group.values.values())
    ]
    if len(found) != 1:
        names = ", ".join(group.name for group in ordered[:20]) + ", ..." * (len(ordered) > 20)
        raise NoReferenceError(
            f"--reference {wanted}: found {len(found)} such groups, expected one of: {names}"
        )
    return found[0]


def _is(value: Value, wanted: str) -> bool:
    try:
        return float(value) == float(wanted)
    except ValueError:
        return str(value) == wanted


def differences(
    group: Mapping[str, DataGroup], reference: Mapping[str, DataGroup], name: str, of: str
) -> list[DataGroup]:
    """The results of a group less those of the reference, both a frame, where there are both.

    Images are the means of the frames in which a pixel was valid; curves are taken as they are,
    with their errors added in quadrature, where they have the same axis and say of how many frames
    they are. `name` and `of` are what the two groups are called.
    """
    found = []
    for path, mine in group.items():
        theirs = reference.get(path)
        if theirs is None or "n_frames" not in mine.attributes:
            continue
        if mine.signal.values.shape != theirs.signal.values.shape:
            continue
        if len(mine.axes) == 2 and path.startswith("accumulated/"):
            found.append(_of_images(mine, theirs, name, of))
        elif len(mine.axes) == 1 and np.array_equal(mine.axes[0].values, theirs.axes[0].values):
            found.append(_of_curves(mine, theirs, name, of))
    return found


def mean_image(group: DataGroup) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The mean of the frames of a sum, over those in which a pixel was valid; and its mask."""
    counts = next((c.values for c in group.columns if c.name == "n_valid"), None)
    image = group.signal.values.astype(np.float64)
    mask = np.zeros(image.shape, bool) if group.mask is None else group.mask.astype(bool)
    if counts is None:
        image /= max(float(group.attributes["n_frames"]), 1.0)
    else:
        mask = mask | (counts == 0)
        np.divide(image, counts, out=image, where=~mask)
    image[mask] = 0
    return image, mask


def _of_images(mine: DataGroup, theirs: DataGroup, name: str, of: str) -> DataGroup:
    (image, mask), (other, other_mask) = mean_image(mine), mean_image(theirs)
    image -= other
    mask |= other_mask
    image[mask] = 0
    detector = str(mine.attributes.get("detector", mine.path))
    kept = {key: value for key, value in mine.attributes.items() if key not in _OF_SUMS}
    return replace(
        mine,
        path=f"differences/{detector}",
        title=f"{detector}: mean frame of {name} less that of {of}",
        signal=Quantity("difference", image.astype(np.float32), "", "counts a frame"),
        columns=(),
        mask=mask,
        attributes=kept | {"n_frames_of_reference": theirs.attributes["n_frames"]},
    )


_OF_SUMS = ("total", "hottest", "why_reset")


def _of_curves(mine: DataGroup, theirs: DataGroup, name: str, of: str) -> DataGroup:
    signal, other = (np.asarray(g.signal.values, np.float64) for g in (mine, theirs))
    errors = np.hypot(*(_errors(g) for g in (mine, theirs)))
    kind, _, rest = mine.path.partition("/")
    kept = {key: value for key, value in mine.attributes.items() if key != "scale"}
    what = mine.title.partition(",")[0]
    return replace(
        mine,
        path=f"{kind}_differences/{rest}",
        title=f"{what}, {name} less {of}",
        signal=Quantity("difference", signal - other, mine.signal.units, mine.signal.long_name),
        errors=errors,
        columns=(),
        attributes=kept | {"n_frames_of_reference": theirs.attributes["n_frames"]},
    )


def _errors(group: DataGroup) -> NDArray[np.float64]:
    if group.errors is None:
        return np.zeros(group.signal.values.shape)
    return np.asarray(group.errors, np.float64)


def difference_of(mine: Numbers, theirs: Numbers) -> tuple[float | None, float | None]:
    """A mean less that of the reference, and the standard error of that."""
    if mine.mean is None or theirs.mean is None:
        return None, None
    sem = None if mine.sem is None or theirs.sem is None else float(np.hypot(mine.sem, theirs.sem))
    return mine.mean - theirs.mean, sem
