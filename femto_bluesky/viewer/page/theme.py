"""The colours of all figures of a document, light or dark, also of those that are made later."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from femto_bluesky.viewer.page.session import Session

FONT: Final = "system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif"


@dataclass(frozen=True, slots=True)
class Colours:
    """Colours as in style.css, which canvases cannot read."""

    surface: str
    inside: str
    line: str
    grid: str
    text: str
    faint: str


LIGHT: Final = Colours("#ffffff", "#ffffff", "#b4bfca", "#e6ebf0", "#1b2733", "#5b6b7b")
DARK: Final = Colours("#1b232c", "#151c24", "#4a5a6a", "#2a3540", "#e6edf3", "#9fb0c0")


class Theme:
    """Keeps the figures of a session in the colours that its browser has chosen.

    What a part of the page has coloured itself stays so. Bokeh hands the theme of a document to
    each model that comes into it.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        session.on_choice.append(self._dress)
        self._dress()

    def _dress(self) -> None:
        theme = theme_of(self._session.is_dark)
        if self._session.doc.theme is not theme:
            self._session.doc.theme = theme


def colours(is_dark: bool) -> Colours:
    """The colours of the page, for what a theme does not reach."""
    return DARK if is_dark else LIGHT


@cache
def theme_of(is_dark: bool) -> Any:
    """The theme of Bokeh; the same one each time, so that it is known not to have changed."""
    from bokeh.themes import Theme as BokehTheme

    c = colours(is_dark)
    small = {"text_font": FONT, "text_font_size": "11px"}
    label = {
        "axis_label_text_font": FONT,
        "axis_label_text_font_size": "12px",
        "axis_label_text_font_style": "normal",
        "axis_label_text_color": c.faint,
        "axis_label_standoff": 4,
        "major_label_text_font": FONT,
        "major_label_text_font_size": "11px",
        "major_label_text_color": c.faint,
    }
    ticks = {
        "axis_line_color": c.line,
        "major_tick_line_color": c.line,
        "minor_tick_line_color": None,
        "major_tick_in": 0,
        "major_tick_out": 4,
    }
    bar = {
        "background_fill_color": c.surface,
        "background_fill_alpha": 1.0,
        "bar_line_color": c.line,
        "major_tick_line_color": c.text,
        "major_label_text_font": FONT,
        "major_label_text_font_size": "11px",
        "major_label_text_color": c.faint,
        "title_text_font": FONT,
        "title_text_font_size": "11px",
        "title_text_font_style": "normal",
        "title_text_color": c.faint,
    }
    return BokehTheme(
        json={
            "attrs": {
                "Plot": {
                    "background_fill_color": c.inside,
                    "border_fill_color": c.surface,
                    "outline_line_color": c.line,
                },
                "Axis": label | ticks,
                "Grid": {"grid_line_color": c.grid},
                "Title": {
                    "text_font": FONT,
                    "text_font_size": "13px",
                    "text_font_style": "bold",
                    "text_color": c.text,
                },
                "Legend": {
                    "background_fill_color": c.surface,
                    "background_fill_alpha": 0.85,
                    "border_line_color": c.line,
                    "border_line_alpha": 0.6,
                    "label_text_font": FONT,
                    "label_text_font_size": "11px",
                    "label_text_color": c.text,
                    "inactive_fill_color": c.surface,
                    "padding": 5,
                    "spacing": 1,
                    "glyph_width": 16,
                    "glyph_height": 14,
                    "label_height": 14,
                },
                "BaseColorBar": bar,
                "Label": small | {"text_color": c.text},
                "LabelSet": small | {"text_color": c.text},
                "Whisker": {"line_color": c.faint},
                "Span": {"line_color": c.faint},
                "CrosshairTool": {"line_color": c.faint, "line_alpha": 0.8},
            }
        }
    )
