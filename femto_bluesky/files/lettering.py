"""Text on pictures: cut into lines that fit, in letters that the font has."""

from __future__ import annotations

import textwrap

from matplotlib.font_manager import FontProperties, findfont, get_font

DPI = 120
LETTER = 0.57
"""The width of a letter, about, as a part of the font size."""


def wrapped(text: str, width_px: float, size: int) -> str:
    """The text in lines of about one length that fit into a width, at a font size in points."""
    text = printable(text)
    widest = max(10, int(width_px / (LETTER * size * DPI / 72)))
    number = len(textwrap.wrap(text, widest))
    # no word is cut that fits
    word = min(widest, max(map(len, text.split()), default=1))
    widths = (width for width in range(word, widest) if len(textwrap.wrap(text, width)) == number)
    return textwrap.fill(text, next(widths, widest))


def printable(text: str) -> str:
    """The text with a box for each letter that the font lacks; matplotlib would warn of each."""
    font = get_font(findfont(FontProperties()))
    return "".join(
        sign if sign.isspace() or font.get_char_index(ord(sign)) else "\N{WHITE SQUARE}"
        for sign in text
    )
