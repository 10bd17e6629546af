"""How the image is coloured: each browser for itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from femto_bluesky.viewer.colour_scale import (
    MAX_FILTERS,
    Autoscale,
    ColourScale,
    Kind,
    ScaleError,
)
from femto_bluesky.viewer.page.image import ImageFigure
from femto_bluesky.viewer.page.palettes import NAMES
from femto_bluesky.viewer.page.session import Session

KIND_NAMES: Final[Mapping[str, Kind]] = {"Logarithmic": "log", "Root": "sqrt", "Linear": "linear"}

LIMIT_NAMES: Final[Mapping[str, Autoscale]] = {
    "Min to max": "min-max", "Percentile": "percentile", "In sight": "visible", "Fixed": "fixed",
}  # fmt: skip

FILTER_NAMES: Final = {f"{size} px" if size else "Off": size for size in MAX_FILTERS}

SHOWS: Final = {"Largest": False, "Mean": True}


class ColourControls:
    """Scale, colour map, limits and max filter of the image.

    Fixed limits begin with those that were seen, rounded to what can be read.
    """

    def __init__(self, session: Session, image: ImageFigure) -> None:
        import panel as pn

        self._session, self._image = session, image
        self._is_filling = False
        self._kind = self._select(
            "Scale", "scale", KIND_NAMES, 108,
            "How values become colours; the logarithm tells weak signals from none",
        )  # fmt: skip
        self._palette = self._select(
            "Colours", "palette", list(NAMES), 84,
            "All but Turbo can be read by the colour-blind; pixels without data have a colour that "
            "is not among them",
        )  # fmt: skip
        self._limits = self._select(
            "Limits", "limits", LIMIT_NAMES, 108,
            "The values of the first and the last colour: of the whole image (as it is, or without "
            "its rarest values), of what is in sight, or fixed",
        )  # fmt: skip
        self._percentile = self._number("Percentile", "percentile", image.scale.percentile, 70)
        self._low = self._number("Low", "low", image.scale.fixed[0], 70)
        self._high = self._number("High", "high", image.scale.fixed[1], 70)
        self._filter = self._select(
            "Max filter", "max-filter", FILTER_NAMES, 70,
            "Photons are drawn at least as large as this on the screen",
        )  # fmt: skip
        self._shows = self._select(
            "Pixel", "pooling", SHOWS, 76,
            "Which of the image's pixels a pixel of the screen shows, where it stands for several: "
            "the largest, so that no photon is lost, or their mean",
        )  # fmt: skip
        # a second line where the window is narrow
        self.view: Any = pn.FlexBox(
            self._kind, self._palette, self._limits, self._percentile, self._low, self._high,
            self._filter, self._shows, margin=(0, 0, 4, 0),
            sizing_mode="stretch_width",
        )  # fmt: skip
        self._show_fields()

    def _select(
        self, label: str, name: str, options: Mapping[str, Any] | list[str], width: int, hint: str
    ) -> Any:
        import panel as pn

        made = pn.widgets.Select(
            label=label, options=options if isinstance(options, list) else dict(options),
            width=width, margin=(0, 6, 0, 0), description=hint, css_classes=[f"fb-{name}"],
        )  # fmt: skip
        made.param.watch(lambda _: self._change(name), "value")
        return made

    def _number(self, label: str, name: str, value: float, width: int) -> Any:
        import panel as pn

        made = pn.widgets.FloatInput(
            label=label, value=value, width=width, margin=(0, 6, 0, 0), format="0[.][000000]",
            visible=False, css_classes=[f"fb-{name}"],
        )  # fmt: skip
        made.param.watch(lambda _: self._change(name), "value")
        return made

    def _change(self, name: str) -> None:
        if self._is_filling:
            return
        if name == "limits" and self._limits.value == "fixed" and self._image.picture is not None:
            limits = self._image.picture.limits
            self._fill(*rounded(limits.low, limits.high))
        self._show_fields()
        try:
            scale = ColourScale(
                self._kind.value,
                self._limits.value,
                (self._low.value, self._high.value),
                self._percentile.value,
                self._filter.value,
                self._shows.value,
            )
        except (ScaleError, TypeError) as error:
            empty = "the limits of the colours have to be numbers"
            self._session.say(str(error) if isinstance(error, ScaleError) else empty, "error")
            before = self._image.scale
            self._fill(*before.fixed, before.percentile)
            return
        self._image.colour(scale, self._palette.value)

    def _fill(self, low: float, high: float, percentile: float | None = None) -> None:
        self._is_filling = True
        self._low.value, self._high.value = low, high
        if percentile is not None:
            self._percentile.value = percentile
        self._is_filling = False

    def _show_fields(self) -> None:
        self._percentile.visible = self._limits.value == "percentile"
        self._low.visible = self._high.visible = self._limits.value == "fixed"


def rounded(low: float, high: float) -> tuple[float, float]:
    """Two limits in as few digits as keep them apart as they are, to a tenth of their distance.

    >>> rounded(0.1234, 98765.0), rounded(1234.5, 1236.75)
    ((0.123, 98800.0), (1234.5, 1236.8))
    """
    for digits in range(3, 17):
        found = float(f"{low:.{digits}g}"), float(f"{high:.{digits}g}")
        if abs((found[1] - found[0]) / (high - low) - 1) < 0.1:
            return found
    return low, high
