"""Read settings: our own JSON or YAML, or the predecessor's parameter lists."""

from __future__ import annotations

import json
import logging
import math
import os
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from femto_bluesky.files import texts
from femto_bluesky.sources.predecessor import unpickle

log = logging.getLogger(__name__)

YAML_SUFFIXES: Final = (".yaml", ".yml")
CMOS: Final = {"cmos_background": "dark_adu", "cmos_threshold": "threshold_adu"}


class SettingsError(ValueError):
    """A settings file that cannot be used; the message says what to do."""


def read_settings(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The settings in `path` as plain data.

    Our own files are a mapping in JSON or YAML and are returned as they are. The predecessor's
    are a list of parameters, as JSON (name and data of each) or as a pickle, and are translated::

        {"rois": {name: {"x0": .., "y0": .., "x1": .., "y1": ..}},
         "accumulate": bool, "cmos": {"dark_adu": .., "threshold_adu": ..}}

    A rectangle there has its corners anywhere between pixels. Pixel i reaches from i to i + 1; a
    pixel belongs to the half-open box where its centre lies in the rectangle, so an edge is
    rounded to the nearest one, and what lies left of or below pixel 0 is cut off.

    Parameters that are not known, and ROIs that are no rectangle, are named in a warning.
    Raises FileNotFoundError, and `SettingsError` where the file is neither of these.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no settings file {path}; check the name")
    with path.open("rb") as file:
        data = file.read(texts.MOST_BYTES + 1)
    if len(data) > texts.MOST_BYTES:
        raise SettingsError(
            f"{path} is larger than {texts.MOST_BYTES >> 20} MB, expected a few settings; check "
            "the name"
        )
    return parse_settings(path, data)


def parse_settings(path: Path, data: bytes) -> dict[str, Any]:
    """The settings in `data` as `read_settings` gives them; `path` is where they come from.

    Its name may end in .json or .yaml; nothing is read there. Raises `SettingsError`.
    """
    value = _parse(path, data)
    if isinstance(value, list):
        return translate(path, value)
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise SettingsError(
            f"{path} holds a {type(value).__name__}; expected a mapping of settings, or the "
            "predecessor's list of parameters"
        )
    return value


def _parse(path: Path, data: bytes) -> Any:
    if data[:1] == b"\x80":
        try:
            return unpickle.loads(data, where=str(path))
        except unpickle.UnpickleError as error:
            raise SettingsError(str(error)) from error
    try:
        text = data.decode()
        if path.suffix in YAML_SUFFIXES:
            return texts.parse_yaml(text)
        return texts.parse_json(text) if path.suffix == ".json" else texts.parse(text)
    except ValueError as error:
        raise SettingsError(
            f"{path} is neither JSON nor YAML nor a pickled list of parameters: {error}"
        ) from error


def translate(path: Path, parameters: list[Any]) -> dict[str, Any]:
    """The predecessor's parameters (name and data of each) as our settings; see `read_settings`.

    `path` is where they come from, for messages. Raises `SettingsError`.
    """
    settings: dict[str, Any] = {}
    unknown = []
    for name, data in (_name_and_data(path, parameter) for parameter in parameters):
        text = _text(path, name, data)
        if name == "rois":
            settings["rois"] = _rois(path, text)
        elif name == "integrate":
            settings["accumulate"] = _truth(path, name, text)
        elif name in CMOS:
            settings.setdefault("cmos", {})[CMOS[name]] = _number(path, name, text)
        else:
            unknown.append(name)
    if unknown:
        log.warning("%s: parameters that are not known are left out: %s", path, ", ".join(unknown))
    return settings


def _name_and_data(path: Path, parameter: Any) -> tuple[str, Any]:
    if isinstance(parameter, unpickle.WorkParameter):
        parameter = {"name": parameter.name, "data": parameter.data}
    match parameter:
        case {"name": str(name), "data": data}:
            return name, data
    raise SettingsError(
        f"{path}: {reprlib.repr(parameter)} is not a parameter; expected a name and data for each"
    )


def _text(path: Path, name: str, data: Any) -> str:
    if isinstance(data, (bytes, bytearray)):
        try:
            return bytes(data).decode()
        except UnicodeDecodeError:
            return ""
    if isinstance(data, (str, int, float)):
        return str(data)
    if isinstance(data, (dict, list)):
        return _as_json(path, name, data)
    raise SettingsError(f"{path}: the data of {name!r} is a {type(data).__name__}; expected text")


def _as_json(path: Path, name: str, data: Any) -> str:
    """Data as JSON, as far as it is bounded: a pickle can hold one list in another many times."""
    pieces, length = [], 0
    try:
        for piece in json.JSONEncoder().iterencode(data):
            length += len(piece)
            if length > texts.MOST_BYTES:
                raise ValueError(f"it is longer than {texts.MOST_BYTES >> 20} MB")
            pieces.append(piece)
    except (TypeError, ValueError, RecursionError) as error:
        raise SettingsError(f"{path}: the data of {name!r} is no JSON: {error}") from error
    return "".join(pieces)


def _truth(path: Path, name: str, text: str) -> bool:
    known = {"true": True, "1": True, "false": False, "0": False, "": False}
    if text.strip().lower() not in known:
        raise SettingsError(f"{path}: {name!r} is {text!r:.60}; expected True or False")
    return known[text.strip().lower()]


def _number(path: Path, name: str, text: str) -> int | float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise SettingsError(f"{path}: {name!r} is {text!r:.60}; expected a number")
    return int(number) if number == int(number) else number


def _rois(path: Path, text: str) -> dict[str, dict[str, int]]:
    try:
        described = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path}: 'rois' is not JSON: {error}") from error
    if not isinstance(described, dict):
        raise SettingsError(f"{path}: 'rois' is a {type(described).__name__}; expected a mapping")
    rois = {}
    for name, roi in described.items():
        kind = roi.get("type") if isinstance(roi, Mapping) else None
        if kind != "RectangleROI":
            log.warning(
                "%s: the ROI %r is a %s; only a RectangleROI is used",
                path,
                name[:60],
                kind or "riddle",
            )
        else:
            rois[name] = _box(path, name, roi.get("handles"))
    return rois


def _box(path: Path, name: str, handles: Any) -> dict[str, int]:
    match handles:
        case {"_handleBottomLeft": [xa, ya], "_handleTopRight": [xb, yb]} if all(
            map(_is_finite, (xa, ya, xb, yb))
        ):
            x0, x1 = sorted(_edge(v) for v in (xa, xb))
            y0, y1 = sorted(_edge(v) for v in (ya, yb))
        case _:
            raise SettingsError(
                f"{path}: the ROI {name!r:.60} has no handles _handleBottomLeft and "
                "_handleTopRight with two numbers each"
            )
    if x0 == x1 or y0 == y1:
        raise SettingsError(
            f"{path}: the ROI {name!r:.60} (x {x0}..{x1}, y {y0}..{y1}) holds no pixel; make it "
            "larger"
        )
    return {"x0": x0, "y0": y0, "x1": x1, "y1": y1}


def _is_finite(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # JSON has integers that no float can hold
        return False


def _edge(value: float) -> int:
    return max(0, math.ceil(value - 0.5))
