"""A geometry as text in fields: what stands in them, and what is made of what was typed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from femto_bluesky.model.geometry import Geometry
from femto_bluesky.model.words import in_words

UM: Final = 1e6

Texts = Mapping[str, str]
"""What stands in the fields, by the fields of `Geometry`."""


class TypedError(ValueError):
    """What was typed is no geometry, or no list of q; the message says why."""


@dataclass(frozen=True, slots=True)
class Term:
    """One field of the form: the name of `Geometry`'s field, what is said of it, an example."""

    name: str
    label: str
    hint: str
    example: str


TERMS: Final = (
    Term("energy_kev", "Energy [keV]", "Photon energy", "13.5"),
    Term(
        "distance_m", "Distance [m]",
        "From the sample to where the direct beam meets the detector, along the beam", "0.131",
    ),
    Term(
        "x0_px", "x0 [px]",
        "Column where the direct beam meets the detector, from the outer edge of the first pixel",
        "210",
    ),
    Term("y0_px", "y0 [px]", "Row where the direct beam meets the detector", "373"),
    Term("tilt_deg", "Tilt [deg]", "Angle between the beam and the detector's normal", "0"),
    Term(
        "rotation_deg", "Rotation [deg]",
        "Direction in which the tilted detector leans away from the sample: 0 is towards higher "
        "columns, 90 towards higher rows", "0",
    ),
    Term(
        "pixel_size_m", "Pixel [\N{MICRO SIGN}m]",
        "Size of a pixel; height x width where they differ", "172",
    ),
)  # fmt: skip

LABELS: Final = {term.name: term.label for term in TERMS}


def texts_of(
    geometry: Geometry | None, pixel_size_m: tuple[float, float] | None = None
) -> dict[str, str]:
    """What stands in the fields of a geometry; of none, what is known all the same."""
    if geometry is None:
        return {
            **dict.fromkeys(LABELS, ""), "tilt_deg": "0", "rotation_deg": "0",
            "pixel_size_m": _pixel_text(pixel_size_m),
        }  # fmt: skip
    found = {name: f"{getattr(geometry, name):.10g}" for name in LABELS if name != "pixel_size_m"}
    return found | {"pixel_size_m": _pixel_text(geometry.pixel_size_m)}


def geometry_of(texts: Texts, base: Geometry | None = None) -> Geometry:
    """The geometry that was typed. Raises `TypedError` for what is none.

    What stands in a field as it does of `base` has the value of `base` to the last digit, and so
    has what no field shows.
    """
    before = texts_of(base)
    given: dict[str, Any] = {} if base is None else {"rot3_deg": base.rot3_deg}
    missing = []
    for name, label in LABELS.items():
        text = texts.get(name, "").strip()
        if base is not None and text == before[name]:
            given[name] = getattr(base, name)
        elif not text:
            missing.append(label)
        else:
            given[name] = _pixel_size(text) if name == "pixel_size_m" else _number(text, label)
    if missing:
        raise TypedError(f"still to be given: {', '.join(missing)}")
    try:
        return Geometry.model_validate(given)
    except ValidationError as error:
        words = in_words(error)
        for name, label in LABELS.items():
            words = re.sub(rf"\b{name}\b", label, words)
        raise TypedError(words) from error


def q_lines_of(text: str) -> tuple[float, ...]:
    """The list of q in 1/A that was typed, "1.51, 2.14". Raises `TypedError` for what is none."""
    found = []
    for part in re.split(r"[,;\s]+", text.strip(" ,;\t\n")):
        if part:
            q = _number(part, "q [1/\N{LATIN CAPITAL LETTER A WITH RING ABOVE}]")
            if not 0 < q < float("inf"):
                raise TypedError(f"a line at q = {part} 1/A: it must be above 0")
            found.append(q)
    return tuple(dict.fromkeys(found))


def q_text(lines: tuple[float, ...]) -> str:
    """What stands in the field of a list of q."""
    return ", ".join(f"{q:.10g}" for q in lines)


def _number(text: str, label: str) -> float:
    try:
        # a comma is the decimal point of many a keyboard
        return float(text.replace(",", "."))
    except ValueError:
        raise TypedError(f"{label}: {text!r} is not a number") from None


def _pixel_size(text: str) -> tuple[float, float]:
    sides = [_number(side.strip(), LABELS["pixel_size_m"]) for side in re.split("[x\xd7]", text)]
    if len(sides) > 2:
        raise TypedError(f"{LABELS['pixel_size_m']}: {text!r} has {len(sides)} sides, expected 2")
    return sides[0] / UM, sides[-1] / UM


def _pixel_text(size_m: tuple[float, float] | None) -> str:
    if size_m is None:
        return ""
    sides = [f"{UM * side:.10g}" for side in size_m]
    return sides[0] if sides[0] == sides[1] else " x ".join(sides)
