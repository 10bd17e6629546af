"""Regions from and to files that people keep."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from femto_bluesky.model.rois import Roi, RoiError
from femto_bluesky.model.words import in_words
from femto_bluesky.sources.settings import parse_settings
from femto_bluesky.viewer.parameters import changes_of


def written(regions: Mapping[str, Roi]) -> str:
    """Regions as a settings file in JSON (which is YAML too), which `read` and a replay take."""
    boxes = {name: roi.model_dump(exclude_none=True) for name, roi in regions.items()}
    # one line for each, to be read and edited by people
    lines = (f"  {json.dumps(name)}: {json.dumps(box)}" for name, box in boxes.items())
    return '{"rois": {\n' + ",\n".join(lines) + "\n}}\n"


def read(data: bytes, name: str) -> dict[str, Roi]:
    """The regions in a file that is called `name`.

    It may be a settings file, or its mapping of regions alone, in JSON or YAML; or what the
    predecessor kept: its list of parameters, or rectangles with their handles in JSON. Raises
    `ValueError` where it is neither of these or holds no region.
    """
    path = Path(name)
    found = parse_settings(path, data)
    boxes = found if _are_boxes(found) else found.get("rois", {})
    if isinstance(boxes, Mapping) and any(map(_has_handles, boxes.values())):
        boxes = changes_of("rois", json.dumps(boxes).encode(), {})["rois"]
    if not isinstance(boxes, Mapping) or not boxes:
        raise RoiError(
            f"{name} holds no regions; expected a mapping of names to x0, y0, x1, y1, in JSON or "
            "YAML, or the predecessor's rectangles"
        )
    regions = {}
    for region, box in boxes.items():
        if not isinstance(box, Mapping):
            raise RoiError(f"{name}: {region!r} is {box!r:.60}; expected x0, y0, x1 and y1")
        try:
            regions[str(region)] = Roi.model_validate(box)
        except ValidationError as error:
            raise RoiError(f"{name}: {region!r}: {in_words(error)}") from error
    return regions


def _are_boxes(found: Mapping[str, Any]) -> bool:
    """Whether a mapping is of regions, and not settings in which there may be some."""
    boxes = [value for value in found.values() if isinstance(value, Mapping)]
    return bool(boxes) and all("x0" in box or _has_handles(box) for box in boxes)


def _has_handles(box: Any) -> bool:
    return isinstance(box, Mapping) and "handles" in box
