"""The colour maps of the page: 255 colours, and one before them for what carries no data."""

from __future__ import annotations

from functools import cache
from typing import Final

from femto_bluesky.viewer.colour_scale import N_COLOURS

NAMES: Final = {
    "Viridis": "viridis", "Inferno": "inferno", "Magma": "magma", "Cividis": "cividis",
    "Turbo": "turbo", "Grey": "gray", "Grey, dark on light": "gray_r",
}  # fmt: skip
"""The colour maps as they are read, and as matplotlib calls them. All but Turbo can be read by the
colour-blind and grow brighter, or darker, evenly."""

NO_DATA: Final = "#7d8590"
"""Of the mask. No colour of the colourful maps is grey."""

NO_DATA_IN_GREY: Final = "#5b4a8a"
"""Of the mask, among greys."""

NO_DATA_MARKED: Final = "#ff2fd6"
"""Of the mask, where it is to stand out from any colour map."""


@cache
def colours(name: str) -> tuple[str, ...]:
    """The 255 colours of a colour map, by the name it is read by; from the lowest up."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    chosen = colormaps[NAMES[name]].resampled(N_COLOURS)
    return tuple(to_hex(chosen(i)) for i in range(N_COLOURS))


def no_data(name: str) -> str:
    """The colour of what carries no data, beside those of a colour map."""
    return NO_DATA_IN_GREY if name.startswith("Grey") else NO_DATA
