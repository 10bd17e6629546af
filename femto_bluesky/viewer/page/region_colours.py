"""The colours of regions, on the image, in the list and of their curves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

COLOURS: Final = (
    "#e69f00", "#56b4e9", "#d55e00", "#009e73", "#cc79a7", "#0072b2", "#f0e442", "#999999",
)  # fmt: skip
"""Told apart by the colour-blind as well: M. Okabe and K. Ito, Color universal design (2008).

Without its black, and in an order that begins with what is seen on light and dark ground.
"""


def region_colours(names: Iterable[str]) -> Mapping[str, str]:
    """The colour of each region, by their order in the settings: `live.rois.settings.rois`.

    >>> region_colours(["ROI 1", "ROI 2"])
    {'ROI 1': '#e69f00', 'ROI 2': '#56b4e9'}
    """
    return {name: _colour(i) for i, name in enumerate(names)}


def _colour(i: int) -> str:
    """Past those of the list they come again, darker and lighter by turns, and ever more so.

    Each is another one for 40 regions, which are more than can be told apart by colour alone.
    """
    n_times, at = divmod(i, len(COLOURS))
    colour = COLOURS[at]
    if not n_times:
        return colour
    towards = 0 if n_times % 2 else 255
    share = min(0.75, 0.2 + 0.25 * ((n_times + 1) // 2))
    parts = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    return "#" + "".join(f"{round(p + share * (towards - p)):02x}" for p in parts)


def is_dark(colour: str) -> bool:
    """Whether white is told from a colour better than black; after WCAG 2.1, relative luminance.

    >>> is_dark("#0072b2"), is_dark("#56b4e9")
    (True, False)
    """
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True)) < 0.25
