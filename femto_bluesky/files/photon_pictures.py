"""One picture of a photon file, by which to judge whether its hits are single photons."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from femto_bluesky import __version__
from femto_bluesky.files.lettering import DPI, printable, wrapped
from femto_bluesky.files.names import new_file
from femto_bluesky.files.photon_contents import NO_FRAME, Contents
from femto_bluesky.files.photon_summary import EVEN_SPREAD_PX, PhotonSummary, offsets_of, share
from femto_bluesky.files.pictures import draw
from femto_bluesky.kernels.sparse import clean_image
from femto_bluesky.model.results import DataGroup, Quantity

_BLUE, _ORANGE, _RED, _GREY = "#1f5fa8", "#d9730d", "#c22f2f", "0.55"
_MOST_PIXELS = 10**8
_MOST_POINTS = 300
_N_OFFSETS = 50
_N_GROUPS = 40


def draw_photons(contents: Contents, summary: PhotonSummary, path: str | Path, title: str) -> None:
    """Draw energies, offsets, frames, overlaps and the clean image into a new PNG file.

    Raises `OutputExistsError` or `OutputError`.
    """
    width, height = 18.0, 9.0
    figure = Figure(figsize=(width, height), dpi=DPI)
    FigureCanvasAgg(figure)
    verdict = wrapped(summary.verdict(), 0.92 * width * DPI, 11)
    top = 0.87 - 0.022 * verdict.count("\n")
    grid = figure.add_gridspec(
        2, 2, left=0.045, right=0.575, bottom=0.075, top=top, wspace=0.24, hspace=0.36
    )
    _draw_energies(figure.add_subplot(grid[0, 0]), contents, summary)
    _draw_frames(figure.add_subplot(grid[0, 1]), contents, summary)
    _draw_offsets(figure.add_subplot(grid[1, 0]), contents, summary)
    _draw_overlaps(figure.add_subplot(grid[1, 1]), contents, summary)
    # the box of the image has its shape, so that the colour bar beside it is as high as it is
    rows, columns = _shape_of(contents)
    wide, high = 0.335 * width, (top - 0.09) * height
    aspect = np.clip(rows / max(columns, 1), 0.2, 4)
    tall = min(high, 0.8 * wide * aspect)
    wide = max(0.3 * wide, min(wide, tall / aspect / 0.8))
    box = (0.625, top - tall / height, wide / width, tall / height)
    _draw_image(figure.add_axes(box), contents, summary)
    figure.text(0.045, 0.975, printable(title), fontsize=15, fontweight="bold", va="top",
                parse_math=False)  # fmt: skip
    colour = _RED if summary.doubts() else "#1d7a3a"
    figure.text(0.045, 0.94, verdict, fontsize=11, color=colour, va="top", parse_math=False)
    metadata = {"Title": title, "Software": f"femto_bluesky {__version__}"}
    with new_file(path) as part:
        # not savefig: what a user has set for it would change the size
        FigureCanvasAgg(figure).print_png(part, metadata=metadata)


def _draw_energies(axes: Axes, contents: Contents, summary: PhotonSummary) -> None:
    finding, bins = summary.finding, contents.bins
    counts = contents.histogram
    edges = np.arange(bins.n + 1) * bins.width_adu
    filled = np.flatnonzero(counts)
    last = edges[filled[-1] + 1] if len(filled) else 0.0
    right = max(min(last, 2.8 * finding.photon_adu), 1.3 * finding.overlap_adu)
    peak = f"peak at {summary.peak_adu:.0f} ± {summary.width_adu:.0f} ADU"
    _label(axes, f"Energies: {peak if len(filled) else 'none'}",
           "energy: 3x3 sum less dark [ADU]", f"photons a {bins.width_adu:g} ADU")  # fmt: skip
    marks = [("energy_min", finding.energy_min_adu, "0.45", ":"),
             ("view", finding.view_min_adu, "0.25", "-."),
             ("photon", finding.photon_adu, _ORANGE, "-"),
             ("overlap", finding.overlap_adu, _RED, "--")]  # fmt: skip
    for name, place, colour, style in marks:
        axes.axvline(place, color=colour, linestyle=style, linewidth=1.4, label=f"{name} {place:g}")
    left = edges[filled[0]] - 10 * bins.width_adu if len(filled) else np.inf
    axes.set_xlim(max(0.0, min(left, 0.9 * finding.energy_min_adu)), right)
    if not len(filled):
        _say(axes, "no photons")
        axes.set_yticks([])
    else:
        axes.stairs(counts, edges, fill=True, color=_BLUE, alpha=0.85)
        axes.set_yscale("log")
        axes.set_ylim(0.6, 3 * float(counts.max()))
    title = f"{summary.n_overlaps} above overlap: {share(summary.overlap_share)}"
    beyond = int(counts[edges[:-1] >= right].sum())
    if beyond:
        title += f"\n({beyond} beyond this axis)"
    axes.legend(title=title, loc="upper right", fontsize=9, title_fontsize=9, framealpha=0.9)


def _draw_offsets(axes: Axes, contents: Contents, summary: PhotonSummary) -> None:
    counts = offsets_of(contents)
    coarse = counts.reshape(2, _N_OFFSETS, -1).sum(axis=2)
    edges = np.linspace(-0.5, 0.5, _N_OFFSETS + 1)
    for of_axis, name, colour in zip(coarse, "yx", (_BLUE, _ORANGE), strict=True):
        if of_axis.sum():
            axes.stairs(of_axis / of_axis.mean(), edges, color=colour, linewidth=1.5, label=name)
    axes.axhline(1, color=_GREY, linestyle="--", linewidth=1.2, label="even")
    axes.set_ylim(
        0, 1.35 * max(1.0, *(coarse / np.maximum(coarse.mean(axis=1), 1)[:, None]).max(1))
    )
    axes.legend(loc="upper right", fontsize=9, ncols=3)
    axes.set_xlim(-0.5, 0.5)
    spreads = [f"{v:.2f}" for v in summary.offset_spread_px if not np.isnan(v)]
    told = f"spread {', '.join(spreads)} px" if spreads else "none"
    _label(axes, f"Raw offsets: {told} (even: {EVEN_SPREAD_PX:.2f} px)",
           "offset from the pixel's centre [px]", "photons / mean")  # fmt: skip


def _draw_frames(axes: Axes, contents: Contents, summary: PhotonSummary) -> None:
    frame, n, is_crowded = _of_frames(contents)
    mean = summary.photons_per_frame
    _label(axes, f"Photons a frame: {'' if np.isnan(mean) else f'mean {mean:.5g}'}".rstrip(": "),
           "frame", "photons")  # fmt: skip
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
    if not len(frame):
        _say(axes, "the file does not say on which frames")
        return
    counted = ~is_crowded
    few = len(frame) <= _MOST_POINTS
    axes.plot(frame[counted], n[counted], color=_BLUE, linewidth=0.7 if few else 0.5,
              marker="o" if few else "", markersize=3)  # fmt: skip
    top = 1.15 * max(float(n[counted].max(initial=0)), 1.0)
    axes.set_ylim(0, top)
    axes.set_xlim(*_frame_limits(frame))
    if is_crowded.any():
        axes.plot(frame[is_crowded], np.full(np.count_nonzero(is_crowded), 0.03 * top), "x",
                  color=_RED, markersize=6, clip_on=False,
                  label=f"too crowded: {np.count_nonzero(is_crowded)}")  # fmt: skip
        axes.legend(loc="lower right", fontsize=9)


def _draw_overlaps(axes: Axes, contents: Contents, summary: PhotonSummary) -> None:
    _label(axes, f"Overlaps: {share(summary.overlap_share)}, by chance "
           f"{share(summary.expected_overlap_share)}", "frame", "share of the photons")  # fmt: skip
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
    frames = contents.frames
    if not len(contents.photons) or not len(frames.get("frame", ())):
        why = "the file does not say what is expected" if len(contents.photons) else "no photons"
        _say(axes, why)
        return
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlim(*_frame_limits(frames["frame"]))
    n, first = frames["n_photons"], frames["first_photon"]
    is_overlap = contents.photons["energy"] > summary.finding.overlap_adu
    before = np.concatenate([[0], np.cumsum(is_overlap)])
    overlaps = before[first + n] - before[first]
    # about ten overlaps in each, so that there is something to compare
    n_groups = int(np.clip(overlaps.sum() // 10, 1, min(_N_GROUPS, len(n))))
    groups = [part for part in np.array_split(np.arange(len(n)), n_groups) if n[part].sum()]
    total = np.array([n[part].sum() for part in groups], float)
    found = np.array([overlaps[part].sum() for part in groups], float)
    expected = [(n * frames["overlap_share"])[part].sum() for part in groups] / total
    place = [frames["frame"][part].mean() for part in groups]
    # of none, the error is that of one: nothing was seen, but something could have been
    errors = np.sqrt(np.maximum(found, 1)) / total
    axes.errorbar(place, found / total, errors, color=_BLUE, fmt="o", markersize=4, elinewidth=1,
                  label=f"above {summary.finding.overlap_adu:g} ADU")  # fmt: skip
    axes.plot(place, expected, color=_ORANGE, marker="_", markersize=9, linewidth=1.5,
              label="by chance at this density")  # fmt: skip
    highest = max(1e-4, float((found / total + errors).max()), float(np.max(expected)))
    axes.set_ylim(0, 1.3 * highest)
    axes.legend(loc="upper right", fontsize=9)


def _draw_image(axes: Axes, contents: Contents, summary: PhotonSummary) -> None:
    shape = _shape_of(contents)
    if min(shape) < 1 or shape[0] * shape[1] > _MOST_PIXELS:
        _label(axes, "Clean image", "", "")
        _say(axes, f"a frame of {shape[0]} x {shape[1]} pixels is not drawn")
        return
    view = summary.finding.view_min_adu
    image = clean_image(contents.photons, shape, view, contents.roi)
    n_seen = int(np.count_nonzero(contents.photons["energy"] > view))
    group = DataGroup(
        "clean_image",
        f"Clean image: {n_seen} photons above {view:g} ADU",
        Quantity("energy", image, "ADU", "energy"),
        (),
        rois={} if contents.roi is None else {"ROI": contents.roi},
    )
    draw(group, axes)
    axes.title.set_fontsize(11)
    n_ticks = int(np.clip(axes.get_window_extent().width / 70, 2, 9))
    axes.xaxis.set_major_locator(MaxNLocator(n_ticks, integer=True, steps=[1, 2, 5, 10]))


def _shape_of(contents: Contents) -> tuple[int, int]:
    """The shape of a frame; where the file does not say, the smallest on which all photons lie."""
    if contents.shape is not None:
        return contents.shape
    photons = contents.photons
    if not len(photons) or not all(np.isfinite(photons[axis]).all() for axis in ("y", "x")):
        return 0, 0
    return int(photons["y"].max() + 0.5) + 1, int(photons["x"].max() + 0.5) + 1


def _of_frames(
    contents: Contents,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Index, photons and crowdedness of each frame; of the predecessor's, those with photons."""
    frames = contents.frames
    if "frame" in frames:
        return frames["frame"], frames["n_photons"], frames["is_crowded"].astype(bool)
    known = contents.frame_of_photon[contents.frame_of_photon != NO_FRAME]
    index, n = np.unique(known, return_counts=True)
    return index, n, np.zeros(len(index), bool)


def _frame_limits(frame: NDArray[np.int64]) -> tuple[float, float]:
    first, last = float(frame.min()), float(frame.max())
    margin = max(0.5, 0.02 * (last - first))
    return first - margin, last + margin


def _label(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=11, parse_math=False)
    axes.set_xlabel(x, parse_math=False)
    axes.set_ylabel(y, parse_math=False)
    axes.grid(True, color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)


def _say(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color="0.35")
