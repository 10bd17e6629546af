"""Pictures of results as PNG files, and the picture of an image with its ROIs.

Drawn with matplotlib's objects alone: no display, no pyplot, no figure that stays alive.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import AsinhNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from femto_bluesky import __version__
from femto_bluesky.files.curves import draw_curve
from femto_bluesky.files.lettering import DPI, printable, wrapped
from femto_bluesky.files.names import new_file
from femto_bluesky.files.picture_rings import draw_rings
from femto_bluesky.model.results import DataGroup, DataGroupError

_COLOUR_MAP = "inferno"
_MASKED = "#8c8c8c"
_ROI_COLOUR = "#39e6e6"
# An image is drawn with a whole number of screen pixels for each of its own, in about this size.
_LONGEST_SIDE_PX = 1500
_SHORTEST_SIDES_PX = (220, 360)  # height, width


def draw(group: DataGroup, target: str | Path | Axes) -> None:
    """Draw one image or one curve into a new PNG file, or on axes that you have.

    An image has row 0 on top, as detector viewers show it. Its colours follow asinh, which is
    linear at few counts and logarithmic at many, from 0 to the 99.5th percentile of the pixels
    with counts; the bar shows with its tip that some are hotter. Masked and NaN pixels are grey. A
    large image is binned by its maximum, so that one photon in millions of pixels stays visible.
    An image over motors (axes that are no pixels) has its rows upwards, like a map. ROIs and
    rings are drawn on top, with their names.

    Raises `OutputExistsError`, `OutputError` or `DataGroupError`.
    """
    group.check()
    is_image = group.signal.values.ndim == 2
    if is_image and 0 in group.signal.values.shape:
        raise DataGroupError(f"the result {group.path!r} is an image without pixels; nothing drawn")
    if isinstance(target, Axes):
        if is_image:
            box = target.get_window_extent()  # of which the colour bar will take a fifth
            factor = _factor(group.signal.values.shape, box.height, 0.8 * box.width)
            image = _draw_image(target, group, factor, "equal")
            _draw_colour_bar(image, group, ax=target)
            _draw_marks(target, group)
            target.set_title(printable(group.title), parse_math=False)
        else:
            draw_curve(target, group)
    elif is_image:
        _save(_image_figure(group), target, group.title)
    else:
        draw_curves([group], target)


def draw_curves(groups: Sequence[DataGroup], path: str | Path, *, title: str = "") -> None:
    """Draw the curves into a new PNG file, a panel each; NaN is a gap. Raises like `draw`."""
    for group in groups:
        group.check()
        if group.signal.values.ndim != 1:
            raise DataGroupError(f"the result {group.path!r} is an image; draw it with draw()")
    if not groups:
        raise DataGroupError("there is no curve to draw; give at least one")
    columns = 1 if len(groups) <= 4 else math.ceil(math.sqrt(len(groups) / 2))
    rows = math.ceil(len(groups) / columns)
    width, height = (8.0, 5.0) if len(groups) == 1 else (5.5 * columns + 2.5 * (columns == 1), 2.9)
    figure = Figure(figsize=(width, height * rows + 0.3), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    for number, group in enumerate(groups, 1):
        draw_curve(figure.add_subplot(rows, columns, number), group)
    if title:
        figure.suptitle(printable(title), fontsize=13, parse_math=False)
    _save(figure, path, title or groups[0].title)


def _save(figure: Figure, path: str | Path, title: str) -> None:
    metadata = {"Title": title, "Software": f"femto_bluesky {__version__}"}
    with new_file(path) as part:
        # Not savefig: what a user has set for it, such as a tight box, would change the size.
        FigureCanvasAgg(figure).print_png(part, metadata=metadata)


def _image_figure(group: DataGroup) -> Figure:
    """Draw a figure made for the image: every pixel gets a whole number of pixels of the screen.

    matplotlib would otherwise drop or average pixels, and single photons with them.
    """
    shape = group.signal.values.shape
    factor = _factor(shape)
    zoom = max(1, math.floor(0.75 * _LONGEST_SIDE_PX * factor / max(*shape, 1)))
    sides = (round(size / factor * zoom) for size in shape)
    high, wide = (max(*pair) for pair in zip(sides, _SHORTEST_SIDES_PX, strict=True))
    title = wrapped(group.title, wide, 13)
    left, right, bottom, top = 95, 150, 84, 34 + 26 * (1 + title.count("\n"))
    all_wide, all_high = left + wide + right, bottom + high + top
    figure = Figure(figsize=(all_wide / DPI, all_high / DPI), dpi=DPI)
    FigureCanvasAgg(figure)

    def add_axes(x: int, width: int) -> Axes:
        return figure.add_axes((x / all_wide, bottom / all_high, width / all_wide, high / all_high))

    axes = add_axes(left, wide)
    image = _draw_image(axes, group, factor, aspect="auto")
    _draw_colour_bar(image, group, cax=add_axes(left + wide + 24, 22))
    _draw_marks(axes, group)
    axes.set_title(title, fontsize=13, pad=10, parse_math=False)
    return figure


def _factor(shape: tuple[int, ...], *room: float) -> int:
    """How many pixels along each side become one, so that the image fits the room on a screen."""
    sizes = zip(shape, room or (_LONGEST_SIDE_PX,) * 2, strict=True)
    return max(1, *(math.ceil(size / max(most, 1)) for size, most in sizes))


def _draw_image(
    axes: Axes, group: DataGroup, factor: int, aspect: Literal["auto", "equal"]
) -> AxesImage:
    pixels = _binned(group.signal.values, group.mask, factor)
    y, x = (_Scale.of(group, dimension) for dimension in (0, 1))
    rows, columns = pixels.shape
    image = axes.imshow(
        pixels,
        norm=_norm(pixels, y.is_pixels or group.axes[1].name == "q"),
        cmap=colormaps[_COLOUR_MAP].with_extremes(bad=_MASKED),
        interpolation="nearest",
        origin="upper",
        extent=(x.edge(0), x.edge(columns * factor), y.edge(rows * factor), y.edge(0)),
        aspect=aspect if x.is_pixels else "auto",
    )
    # Neither the frame nor the ticks may cover the outermost pixels.
    axes.spines[:].set_visible(False)
    axes.spines[["left", "bottom"]].set_position(("outward", 2))
    axes.set_xlim(*sorted((x.edge(0), x.edge(x.size))))
    axes.set_ylim(*sorted((y.edge(0), y.edge(y.size)), reverse=y.is_pixels))
    for scale, axis in ((x, axes.xaxis), (y, axes.yaxis)):
        if scale.is_pixels:
            axis.set_major_locator(
                MaxNLocator(nbins=9, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1)
            )
    notes = []
    if factor > 1:
        notes.append(f"each point: hottest of {factor}x{factor} pixels")
    if np.ma.getmaskarray(pixels).any():
        notes.append("grey: no data")
    if group.rings and "calibrant" in group.attributes:
        notes.append(f"dashed: rings of {printable(str(group.attributes['calibrant']))}")
    axes.set_xlabel("\n".join([printable(x.label), "; ".join(notes)]).rstrip(), parse_math=False)
    axes.set_ylabel(printable(y.label), parse_math=False)
    return image


def _binned(values: NDArray[Any], mask: NDArray[Any] | None, factor: int) -> np.ma.MaskedArray:
    """The hottest valid pixel of each box of factor x factor pixels; masked where there is none."""
    valid = np.isfinite(values) if values.dtype.kind == "f" else np.ones(values.shape, bool)
    if mask is not None:
        valid &= ~mask.astype(bool)
    if factor > 1:
        values = values.astype(np.uint8) if values.dtype.kind == "b" else values
        lowest = -np.inf if values.dtype.kind == "f" else np.iinfo(values.dtype).min
        values = _hottest(np.where(valid, values, lowest), factor)
        valid = _hottest(valid, factor)
    return np.ma.MaskedArray(values.astype(float), mask=~valid)


def _hottest(values: NDArray[Any], factor: int) -> NDArray[Any]:
    # Rows first: this reads whole rows, and leaves less for the slow direction.
    for axis in (0, 1):
        values = np.maximum.reduceat(values, np.arange(0, values.shape[axis], factor), axis=axis)
    return values


def _norm(pixels: np.ma.MaskedArray, is_counts: bool) -> Normalize:
    """Colours from 0 (or the lowest percentile, where values are negative) to the hot pixels.

    Linear at the counts of single photons (the median of the pixels with counts is taken for
    that), logarithmic above. A map over motors has no photons: linear from lowest to highest.
    """
    values = pixels.compressed()
    if values.size == 0:
        return Normalize(0, 1)
    if not is_counts:
        return Normalize(float(values.min()), float(values.max()))
    counts = values[values > 0]
    highest, middle = np.percentile(counts, (99.5, 50)) if counts.size else (1.0, 1.0)
    lowest = min(0.0, float(np.percentile(values, 0.1)))
    return AsinhNorm(linear_width=float(middle) / 3, vmin=lowest, vmax=float(highest))


def _draw_colour_bar(
    image: AxesImage, group: DataGroup, *, ax: Axes | None = None, cax: Axes | None = None
) -> None:
    lowest, highest = image.get_clim()
    values = np.ma.MaskedArray(image.get_array()).compressed()
    outside = bool((values < lowest).any()), bool((values > highest).any())
    ends = {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}
    figure = image.get_figure(root=True)
    if figure is None:
        raise DataGroupError("the axes to draw on belong to no figure; add them to one first")
    bar = figure.colorbar(image, ax=ax, cax=cax, extend=ends[outside])
    height = bar.ax.get_window_extent().height
    bar.set_label(wrapped(group.signal.label, height, 10), parse_math=False)
    if not isinstance(image.norm, AsinhNorm):
        return
    ticks = _ticks(image.norm, whole=group.signal.values.dtype.kind in "biu")
    bar.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    bar.minorticks_off()


def _ticks(norm: AsinhNorm, *, whole: bool) -> list[float]:
    """Round numbers (1, 2, 5, 10 ...) along the colours, as far as there is room for them."""
    lowest, highest = norm.vmin or 0.0, norm.vmax or 1.0
    top = math.floor(math.log10(max(highest, -lowest)))
    bottom = 0 if whole else top - 4
    sizes = [digit * 10.0**power for power in range(top, bottom - 1, -1) for digit in (5, 2, 1)]
    ticks = [0.0]
    # Tens first, so that they are there where room is scarce.
    for size in sorted(sizes, key=lambda value: (not f"{value:e}".startswith("1"), -value)):
        for tick in (size, -size):
            far = all(abs(norm(tick) - norm(other)) > 0.045 for other in ticks)
            if lowest <= tick <= highest and far:
                ticks.append(tick)
    return sorted(ticks)


def _draw_marks(axes: Axes, group: DataGroup) -> None:
    """Draw what is to be seen on top of the image: ROIs, and rings, whose names give way to them.

    Comes last: the names are placed by the size that the image has on the screen.
    """
    axes.apply_aspect()
    y, x = (_Scale.of(group, dimension) for dimension in (0, 1))
    names = _draw_rois(axes, group, y, x)
    draw_rings(axes, group.rings, (y.at, x.at), names)


def _draw_rois(axes: Axes, group: DataGroup, y: _Scale, x: _Scale) -> list[Bbox]:
    """Outline each ROI, with its name where it covers no other name and leaves no edge.

    Returns where the names stand on the screen.
    """
    size = 10 if len(group.rois) <= 20 else 7
    halo = [withStroke(linewidth=3, foreground="black")]
    outline: dict[str, Any] = {"fill": False, "edgecolor": _ROI_COLOUR, "linewidth": 1.4}
    letters: dict[str, Any] = {"color": _ROI_COLOUR, "fontsize": size, "fontweight": "bold"}
    apart: dict[str, Any] = {"textcoords": "offset points", "annotation_clip": False}
    inside = axes.get_window_extent()
    names: list[Bbox] = []
    for name, roi in group.rois.items():
        left, right, top, bottom = x.edge(roi.x0), x.edge(roi.x1), y.edge(roi.y0), y.edge(roi.y1)
        box = Rectangle((left, top), right - left, bottom - top, path_effects=halo, **outline)
        axes.add_patch(box)
        text = wrapped(name, 0.8 * inside.width, size)  # bold is wider
        label = axes.annotate(text, (left, top), (0, 0), path_effects=halo, **letters, **apart)
        label.set_parse_math(False)
        _place(axes, label, box.get_window_extent(), inside, names)
        names.append(label.get_window_extent())
    return names


def _place(axes: Axes, text: Annotation, box: Bbox, inside: Bbox, names: Sequence[Bbox]) -> None:
    """Put a name at a side of its box where it is whole and on no other name, if there is one."""
    heights = ((box.y1, 3, "bottom"), (box.y0, -3, "top"), (box.y1, -3, "top"))
    shifted = max(inside.x0, min(box.x0, inside.x1 - text.get_window_extent().width - 4))
    widths = ((box.x0, 1, "left"), (box.x1, -1, "right"), (shifted, 1, "left"))
    places = [(x, y, dx, dy, ha, va) for y, dy, va in heights for x, dx, ha in widths]
    to_data = axes.transData.inverted()
    for x, y, dx, dy, ha, va in [*places, places[-1]]:
        text.xy = tuple(to_data.transform((x, y)))
        text.set_position((dx, dy))
        text.set(ha=ha, va=va)
        extent = text.get_window_extent()
        is_whole = inside.x0 <= extent.x0 and extent.x1 <= inside.x1
        is_whole = is_whole and inside.y0 <= extent.y0 and extent.y1 <= inside.y1
        if is_whole and extent.count_overlaps(names) == 0:
            return


@dataclass(frozen=True)
class _Scale:
    """Where the pixels of an image lie along one axis: evenly, from the centre of the first."""

    first: float
    step: float
    size: int
    label: str
    is_pixels: bool

    @classmethod
    def of(cls, group: DataGroup, dimension: int) -> Self:
        size = group.signal.values.shape[dimension]
        if not group.axes:
            return cls(0.0, 1.0, size, f"{'yx'[dimension]} [px]", True)
        axis = group.axes[dimension]
        # a motor may have no unit either
        is_pixels = axis.units in {"px", "pixel", "pixels"} or (
            not axis.units and axis.name in {"y", "x", "row", "column"}
        )
        if axis.values.dtype.kind in "biuf":
            values = axis.values.astype(float)
            step = (values[-1] - values[0]) / (size - 1) if size > 1 else 1.0
            even = values[0] + step * np.arange(size)
            if step != 0 and np.allclose(values, even, rtol=0, atol=abs(step) / 10):
                return cls(float(values[0]), float(step), size, axis.label, is_pixels)
        return cls(0.0, 1.0, size, f"{axis.label} (index)", is_pixels)

    def edge(self, index: int) -> float:
        """The coordinate of the lower edge of the pixel with this index."""
        return self.first + (index - 0.5) * self.step

    def at(self, position: NDArray[np.float64]) -> NDArray[np.float64]:
        """The coordinates of positions among the pixels, whose centres are whole numbers."""
        return self.first + position * self.step
