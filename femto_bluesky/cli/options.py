"""The options that say what is analysed and how, and the settings that they give."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from femto_bluesky.cli.shared import in_words, made
from femto_bluesky.model.rois import Roi, RoiError

if TYPE_CHECKING:
    from femto_bluesky.callbacks import LiveAnalysis

SettingsFile = Annotated[
    Path | None,
    typer.Option(help="settings: our JSON or YAML, or the predecessor's parameters (JSON, pickle)"),
]
Rois = Annotated[
    list[str] | None,
    typer.Option("--roi", metavar="NAME=x0,y0,x1,y1", help="a region of interest, half open"),
]
GeometryFile = Annotated[
    Path | None,
    typer.Option(help="where the detector stands (.poni, JSON, YAML): I(q), and its rings"),
]
CalibrantName = Annotated[
    str | None,
    typer.Option("--calibrant", help="LaB6, CeO2, Si, AgBh ...: its rings and lines are drawn"),
]
Out = Annotated[Path | None, typer.Option(help="where results are left (made where missing)")]


def analysis_of(
    settings: Path | None,
    rois: list[str] | None,
    geometry: Path | None,
    calibrant: str | None,
    out: Path | None,
) -> LiveAnalysis:
    """The analysis that the options ask for. Raises what is wrong with one of them.

    Without `out` nothing is left anywhere, no photon file beside the raw ones either.
    """
    from femto_bluesky.callbacks import LiveAnalysis

    wanted = _with_geometry(_settings_of(settings, rois), geometry, calibrant)
    return LiveAnalysis(**wanted, directory=made(out), photon_files=out is not None)


def _settings_of(path: Path | None, rois: list[str] | None) -> dict[str, Any]:
    """The settings in a file, with the regions that the options name.

    Raises `SettingsError` and `RoiError`.
    """
    from femto_bluesky.callbacks.live_analysis import LiveAnalysisSettings
    from femto_bluesky.sources.settings import SettingsError, read_settings

    found = {} if path is None else read_settings(path)
    unknown = found.keys() - LiveAnalysisSettings.model_fields.keys()
    if unknown:
        raise SettingsError(
            f"{path}: unknown settings {sorted(unknown)}; known are "
            f"{sorted(LiveAnalysisSettings.model_fields)}"
        )
    try:
        known = dict(LiveAnalysisSettings.model_validate(found))
    except ValidationError as error:
        raise SettingsError(f"{path}: {in_words(error)}") from error
    given: dict[str, Roi] = {}
    for text in rois or ():
        name, _, numbers = text.rpartition("=")
        corners = numbers.split(",")
        if not name or len(corners) != 4 or not all(c.strip().isdigit() for c in corners):
            raise RoiError(
                f"--roi {text!r}: expected NAME=x0,y0,x1,y1 with four whole numbers, not below 0: "
                "columns and rows of the half-open box"
            )
        if name in given:
            raise RoiError(f"--roi {name!r} is given twice; give each region a name of its own")
        given[name] = Roi(**dict(zip(("x0", "y0", "x1", "y1"), map(int, corners), strict=True)))
    return known | {"rois": {**known["rois"], **given}}


def _with_geometry(
    settings: dict[str, Any], geometry: Path | None, calibrant: str | None
) -> dict[str, Any]:
    """The settings with the geometry in a file for every detector, and lines of a calibrant."""
    if geometry is not None:
        from femto_bluesky.files.geometries import read_geometry

        settings = settings | {"geometries": {"": read_geometry(geometry)}}
    if calibrant is not None:
        if not settings["geometries"]:
            raise ValueError(
                f"--calibrant {calibrant} has no rings without a geometry; give --geometry FILE"
            )
        settings = settings | {"azimuthal": {**dict(settings["azimuthal"]), "calibrant": calibrant}}
    return settings
