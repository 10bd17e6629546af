"""Where the rings of powders are that detectors are calibrated with: pyFAI's calibrants by name."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass

Hkl = tuple[int, int, int]


class CalibrantError(ValueError):
    """A calibrant that is not known, or has no line that was asked for; the message says more."""


@dataclass(frozen=True, slots=True)
class CalibrantLine:
    """One ring of a powder: its q (1/A), its lattice planes, and the expected strength.

    `hkl` is one of the planes that share the ring, None where pyFAI's table does not say.
    `intensity` is relative to the other lines of the powder, of which the strongest mostly has
    100; None where the table does not say.
    """

    q: float
    hkl: Hkl | None = None
    intensity: float | None = None

    @property
    def d(self) -> float:
        """The spacing of the planes, A."""
        return 2 * math.pi / self.q

    @property
    def label(self) -> str:
        """What stands beside the ring: "1 1 0", or its q."""
        return " ".join(map(str, self.hkl)) if self.hkl else f"{self.q:.3g}"


def calibrant_names() -> tuple[str, ...]:
    """The names of all calibrants that pyFAI has, such as LaB6, CeO2, Si and AgBh."""
    from pyFAI.calibrant import ALL_CALIBRANTS

    return tuple(sorted(ALL_CALIBRANTS.keys(), key=str.lower))


def calibrant_name(name: str) -> str:
    """The name as pyFAI writes it: letters may be small or capital.

    Raises `CalibrantError` for a name that it does not know, with those that are near.
    """
    names = {known.lower(): known for known in calibrant_names()}
    if (found := names.get(name.strip().lower())) is not None:
        return found
    near = difflib.get_close_matches(name.strip().lower(), names, n=5, cutoff=0.5)
    some = [names[key] for key in near]
    raise CalibrantError(
        f"no calibrant is called {name!r}; "
        + (f"did you mean {' or '.join(some)}? Known are " if some else "known are ")
        + ", ".join(names.values())
    )


def calibrant_lines(
    name: str, q_range: tuple[float, float] | None = None, *, energy_kev: float | None = None
) -> tuple[CalibrantLine, ...]:
    """The lines of a calibrant by rising q, of a q range (1/A) or those that an energy can reach.

    Without either, all that pyFAI's table holds. Raises `CalibrantError` for an unknown name,
    `ValueError` for a range or an energy that is none.
    """
    from pyFAI.calibrant import get_calibrant

    from femto_bluesky.model.geometry import HC_KEV_ANGSTROM

    least, most = q_range or (0.0, math.inf)
    if energy_kev is not None:
        if not 0 < energy_kev < math.inf:
            raise ValueError(f"an energy of {energy_kev} keV: it must be a number above 0")
        most = min(most, 4 * math.pi * energy_kev / HC_KEV_ANGSTROM)
    if not least < most:
        raise ValueError(f"lines from q = {least:g} to {most:g} 1/A: the range must go upwards")
    calibrant = get_calibrant(calibrant_name(name))
    spacings: Sequence[float] = calibrant.dspacing
    # Miller indices came to pyFAI with its tables of 2025; before, it knew the spacings alone.
    table = getattr(getattr(calibrant, "config", None), "reflections", None)
    if table is None or len(table) != len(spacings):
        table = [None] * len(spacings)
    lines = []
    for spacing, known in zip(spacings, table, strict=True):
        q = 2 * math.pi / spacing
        if least <= q <= most:
            hkl, intensity = getattr(known, "hkl", None), getattr(known, "intensity", None)
            lines.append(
                CalibrantLine(
                    q,
                    None if not hkl else (int(hkl[0]), int(hkl[1]), int(hkl[2])),
                    None if intensity is None else float(intensity),
                )
            )
    return tuple(sorted(lines, key=lambda line: line.q))
