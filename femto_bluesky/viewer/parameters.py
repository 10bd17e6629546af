"""The predecessor's parameters: what its viewers set and read, in its words.

`integrate` is whether frames are added up, `rois` the JSON of rectangles with their handles,
`cmos_background` and `cmos_threshold` the cleaning of camera frames.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from femto_bluesky.model.rois import Roi
from femto_bluesky.sources.settings import CMOS, SettingsError, translate

WHERE: Final = Path("the request")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter as viewers are told of it."""

    name: str
    dtype: str
    description: str


PARAMETERS: Final = {
    found.name: found
    for found in (
        Parameter("integrate", "bool", "add frames to the sum; if not, show the newest one"),
        Parameter("rois", "str", "regions of interest: JSON of rectangles with their handles"),
        Parameter("cmos_background", "float", "dark level of camera frames"),
        Parameter("cmos_threshold", "float", "what is less than this above the dark level is 0"),
    )
}


def changes_of(name: str, data: bytes, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a value of a parameter asks for.

    `settings` are those of the analysis as plain data: a region that keeps its name stays on its
    detector. Raises `SettingsError` where the value cannot be understood, `KeyError` for a name
    that is not known.
    """
    if name not in PARAMETERS:
        raise KeyError(name)
    changes = translate(WHERE, [{"name": name, "data": data}])
    if not changes:
        raise SettingsError(f"{WHERE}: {name!r} is empty")
    before = settings.get("rois", {})
    for roi, box in changes.get("rois", {}).items():
        detector = before.get(roi, {}).get("detector")
        if detector is not None:
            box["detector"] = detector
    return changes


def value_of(name: str, settings: Mapping[str, Any]) -> str:
    """The value of a parameter under the settings of an analysis; raises `KeyError`.

    Empty where there is none, for each detector then has its own.
    """
    match PARAMETERS[name].name:
        case "integrate":
            return str(bool(settings["accumulate"]))
        case "rois":
            boxes = {roi: Roi.model_validate(box) for roi, box in settings["rois"].items()}
            return json.dumps({roi: _rectangle(roi, box) for roi, box in boxes.items()})
        case _:
            value = settings["cmos"].get(CMOS[name])
            return "" if value is None else str(value)


def _rectangle(name: str, roi: Roi) -> dict[str, Any]:
    """A region as the predecessor's viewers keep it: x and y of its corners, between pixels."""
    left, right, bottom, top = map(float, (roi.x0, roi.x1, roi.y0, roi.y1))
    return {
        "visible": True,
        "name": name,
        "type": "RectangleROI",
        "handles": {
            "_handleTopLeft": [left, top],
            "_handleTopRight": [right, top],
            "_handleBottomLeft": [left, bottom],
            "_handleBottomRight": [right, bottom],
            "_handleCenter": [(left + right) / 2, (bottom + top) / 2],
            "_handleLabel": [left, bottom],
        },
    }
