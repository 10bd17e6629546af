"""Geometries on the disk: PONI files as pyFAI reads and writes them, and settings in our terms."""

from __future__ import annotations

import io
import logging
import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from femto_bluesky.files import texts
from femto_bluesky.files.names import new_file, new_path
from femto_bluesky.model.geometry import Geometry, GeometryError, Poni
from femto_bluesky.model.words import in_words

log = logging.getLogger(__name__)

_PONI_LINE = re.compile(r"^\s*poni1\s*:", re.IGNORECASE | re.MULTILINE)


class GeometryFileError(ValueError):
    """A file without a geometry that can be used; the message says what to do."""


def read_geometry(path: Path | str) -> Geometry:
    """The geometry in a file: a PONI file of any version, or settings in our terms.

    Settings are a mapping in JSON or YAML of the names of `Geometry`: energy_kev, distance_m,
    x0_px, y0_px, tilt_deg, rotation_deg, pixel_size_m. Which of the two it is, the content tells.

    Raises `GeometryFileError` for anything else, also where it is missing: a PONI file without a
    wavelength, one whose detector is not flat and regular, or one that counts rows or columns
    backwards (pyFAI's orientations 1, 2 and 4).
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = file.read(texts.MOST_BYTES + 1)
        text = data.decode("utf-8")
        if len(data) > texts.MOST_BYTES:
            raise ValueError(f"it is larger than {texts.MOST_BYTES >> 20} MB")
    except OSError as error:
        raise GeometryFileError(
            f"{path}: cannot be read ({error.strerror}), expected a geometry: a .poni file, or "
            "settings in JSON or YAML; check the path"
        ) from error
    except ValueError as error:
        raise GeometryFileError(
            f"{path}: is no text ({error}), expected a geometry: a .poni file, or settings in "
            "JSON or YAML"
        ) from error
    if _PONI_LINE.search(text):
        return _read_poni(path)
    return _read_settings(path, text)


def write_poni(
    path: Path | str,
    geometry: Geometry,
    *,
    shape: tuple[int, int] | None = None,
    calibrant: str = "",
) -> None:
    """Write a geometry into a new PONI file, in pyFAI's own way, so that its tools can use it.

    `shape` (rows, columns) and the name of the `calibrant` are kept with it where they are known.
    Raises `OutputExistsError` where the name is taken, `OutputError` where nothing can be written.
    """
    text = poni_text(geometry, shape=shape, calibrant=calibrant)
    with new_file(path) as part:
        part.write_text(text, encoding="utf-8")


def poni_text(
    geometry: Geometry, *, shape: tuple[int, int] | None = None, calibrant: str = ""
) -> str:
    """What stands in a PONI file: see `write_poni`."""
    from pyFAI.io.ponifile import PoniFile

    text = io.StringIO()
    PoniFile(geometry.integrator(shape)).write(text)
    if calibrant:
        # where pyFAI of 2026 looks for it; for any other it is a comment
        text.write(f"# Calibrant: {' '.join(calibrant.split())}\n")
    return text.getvalue()


def keep_poni(
    directory: Path | str,
    stem: str,
    geometry: Geometry,
    *,
    shape: tuple[int, int] | None = None,
    calibrant: str = "",
) -> Path:
    """The PONI file of a geometry next to the results: a new one, unless the newest is the same.

    The names are ``stem.poni``, ``stem_2.poni`` and so on, one for each change of the geometry;
    what was written before stays. Raises `OutputError` where nothing can be written.
    """
    directory = Path(directory)
    newest = _newest(directory, stem)
    if newest is not None:
        try:
            before = read_geometry(newest)
        except GeometryFileError as error:
            log.warning("%s; it is kept, and a new file is written", error)
        else:
            if before == Geometry.from_poni(geometry.poni()):  # the same on its way through a file
                return newest
    path = new_path(directory, stem, "poni")
    write_poni(path, geometry, shape=shape, calibrant=calibrant)
    return path


def _newest(directory: Path, stem: str) -> Path | None:
    """The file with the highest number, of those that `new_path` names by this stem."""
    numbered = re.compile(rf"{re.escape(stem)}(?:_(\d+))?\.poni")
    found = {
        int(match[1] or 1): path
        for path in directory.glob("*.poni")
        if (match := numbered.fullmatch(path.name))
    }
    return found[max(found)] if found else None


def _read_poni(path: Path) -> Geometry:
    from pyFAI.io.ponifile import PoniFile

    try:
        found = PoniFile(str(path))
        detector = found.detector
        terms = {
            name: getattr(found, name)
            for name in ("dist", "poni1", "poni2", "rot1", "rot2", "rot3", "wavelength")
        } | {"pixel1": detector.pixel1, "pixel2": detector.pixel2}
    # Whatever a text may hold: pyFAI raises what its parts raise.
    except Exception as error:
        raise GeometryFileError(
            f"{path}: is not a PONI file that pyFAI can read ({type(error).__name__}: "
            f"{error!s:.300}); write it again, with pyFAI or with write_poni"
        ) from error
    missing = [name for name, value in terms.items() if value is None]
    if missing:
        remedy = " ('Wavelength: 9.184e-11', in metres)" if "wavelength" in missing else ""
        raise GeometryFileError(
            f"{path}: the PONI file says nothing of {', '.join(missing)}; add what is "
            f"missing{remedy}"
        )
    orientation = getattr(detector.orientation, "value", 0)
    if orientation not in {0, 3}:
        raise GeometryFileError(
            f"{path}: the detector has pyFAI's orientation {orientation}, which counts rows or "
            "columns backwards; here images are used as they are stored (orientation 3): calibrate "
            "with that"
        )
    if not (detector.uniform_pixel and detector.IS_FLAT):
        raise GeometryFileError(
            f"{path}: the detector {type(detector).__name__!r} is not flat, or its pixels are not "
            "all of one size; only flat detectors with regular pixels are handled"
        )
    if found.parallax:
        log.warning("%s: asks for pyFAI's correction of parallax, which is not done here", path)
    try:
        return Geometry.from_poni(Poni(**{name: float(value) for name, value in terms.items()}))
    except ValidationError as error:  # a geometry that cannot be, in our terms
        raise GeometryFileError(f"{path}: is not a geometry: {in_words(error)}") from error
    except (GeometryError, ArithmeticError) as error:
        raise GeometryFileError(f"{path}: {error}") from error


def _read_settings(path: Path, text: str) -> Geometry:
    try:
        settings: Any = texts.parse(text)
    except texts.TextFormatError as error:
        raise GeometryFileError(
            f"{path}: is neither a PONI file nor JSON nor YAML ({error})"
        ) from error
    if not isinstance(settings, dict):
        raise GeometryFileError(
            f"{path}: holds a {type(settings).__name__}, expected a mapping such as "
            "energy_kev: 13.5, distance_m: 0.131, x0_px: 210, y0_px: 373, pixel_size_m: 172.0e-6; "
            "or a PONI file"
        )
    try:
        return Geometry.model_validate(settings)
    except ValidationError as error:
        wrong = in_words(error)
        raise GeometryFileError(f"{path}: is not a geometry: {wrong:.5000}") from error
