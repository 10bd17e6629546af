"""One picture of a calibration, by which to judge whether the geometry may be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from femto_bluesky import __version__
from femto_bluesky.files.lettering import DPI, printable, wrapped
from femto_bluesky.files.names import new_file
from femto_bluesky.files.pictures import draw
from femto_bluesky.model.masks import combine, negative_flags
from femto_bluesky.model.results import DataGroup, Quantity
from femto_bluesky.model.shots import Mask
from femto_bluesky.offline.calibration import Calibration

_BLUE, _RED, _GREY = "#1f5fa8", "#c22f2f", "0.6"
_N_Q, _N_AZIMUTH = 700, 120
_WITHOUT_SPLITTING = ("no", "histogram", "cython")


def draw_calibration(
    calibration: Calibration, image: NDArray[Any], path: str | Path, *, mask: Mask | None = None
) -> None:
    """Draw the rings on the image, I(q) before and after, and what is left, into a new PNG file.

    The rings of the table are drawn on the image where the refined geometry puts them. Over
    azimuth and q they must be straight, and lie on the dashed lines. What is left of each sector
    must scatter around 0: a wave along the azimuth speaks of a centre or a tilt that is wrong, a
    trend from ring to ring of the distance or the energy.

    Raises `OutputExistsError` or `OutputError`.
    """
    bad = combine(negative_flags(image), mask, shape=image.shape)
    figure = Figure(figsize=(18, 10.5), dpi=DPI)
    FigureCanvasAgg(figure)
    title = f"Calibration on {calibration.calibrant}"
    words = calibration.summary().splitlines()
    figure.text(0.03, 0.98, printable(title), fontsize=15, fontweight="bold", va="top",
                parse_math=False)  # fmt: skip
    # the first line and the remarks below it; the numbers beside them
    numbers = [line.strip() for line in words if "±" in line]
    remarks = [line.strip() for line in words if "±" not in line]
    figure.text(0.03, 0.945, "\n".join(wrapped(line, 0.58 * 18 * DPI, 10) for line in remarks),
                fontsize=10, va="top", parse_math=False)  # fmt: skip
    figure.text(0.66, 0.985, "\n".join(numbers), fontsize=10, va="top", family="monospace",
                parse_math=False)  # fmt: skip
    # the box of the image has its shape, so that the colour bar beside it is as high as it is
    wide, high = 0.43 * 18, 0.47 * 10.5
    aspect = float(np.clip(image.shape[0] / max(image.shape[1], 1), 0.2, 4))
    tall = min(high, 0.8 * wide * aspect)
    wide = max(0.3 * wide, min(wide, tall / aspect / 0.8))
    box = (0.05, 0.84 - tall / 10.5, wide / 18, tall / 10.5)
    _draw_rings(figure.add_axes(box), calibration, image, bad)
    _draw_residuals(figure.add_axes((0.05, 0.06, 0.37, 0.22)), calibration)
    curves = figure.add_axes((0.53, 0.54, 0.45, 0.30))
    _draw_curves(curves, calibration, image, bad)
    _draw_cake(figure.add_axes((0.53, 0.06, 0.45, 0.40), sharex=curves), calibration, image, bad)
    metadata = {"Title": title, "Software": f"femto_bluesky {__version__}"}
    with new_file(path) as part:
        # not savefig: what a user has set for it would change the size
        FigureCanvasAgg(figure).print_png(part, metadata=metadata)


def _draw_rings(
    axes: Axes, calibration: Calibration, image: NDArray[Any], bad: NDArray[np.bool_]
) -> None:
    shape = (image.shape[0], image.shape[1])
    rings = {
        ring.label: calibration.geometry.ring(ring.q, shape=shape) for ring in calibration.rings
    }
    group = DataGroup(
        path="calibration",
        title=f"{calibration.calibrant}, rings by the refined geometry",
        signal=Quantity("image", np.where(bad, 0, image), long_name="counts"),
        axes=(),
        mask=bad,
        rings={name: curve for name, curve in rings.items() if len(curve[0])},
    )
    draw(group, axes)


def _draw_curves(
    axes: Axes, calibration: Calibration, image: NDArray[Any], bad: NDArray[np.bool_]
) -> None:
    reach = _reach(calibration)
    for geometry, colour, label in (
        (calibration.start, _GREY, "before"),
        (calibration.geometry, _BLUE, "after"),
    ):
        found = geometry.integrator(image.shape).integrate1d(
            image, _N_Q, mask=bad, radial_range=reach, unit="q_A^-1", correctSolidAngle=True,
            method=_WITHOUT_SPLITTING, error_model="poisson",
        )  # fmt: skip
        there = found.count > 0
        axes.plot(found.radial[there], found.intensity[there], color=colour, label=label,
                  linewidth=1.0)  # fmt: skip
    for ring in calibration.rings:
        axes.axvline(ring.q, color=_RED, linewidth=0.7, linestyle="--", zorder=0)
    axes.set_yscale("log")
    axes.set_xlim(*reach)
    axes.set_title("I(q), dashed: the lines that were used", fontsize=11)
    axes.set_ylabel("counts a pixel")
    axes.legend(loc="upper right", fontsize=9)


def _draw_cake(
    axes: Axes, calibration: Calibration, image: NDArray[Any], bad: NDArray[np.bool_]
) -> None:
    reach = _reach(calibration)
    found = calibration.geometry.integrator(image.shape).integrate2d(
        image, _N_Q // 2, _N_AZIMUTH, mask=bad, radial_range=reach, unit="q_A^-1",
        correctSolidAngle=True, method=_WITHOUT_SPLITTING,
    )  # fmt: skip
    cake = np.ma.MaskedArray(found.intensity, mask=np.asarray(found.count) == 0)
    values = cake.compressed()
    highest = float(np.percentile(values, 99.5)) if values.size else 1.0
    step = float(found.azimuthal[1] - found.azimuthal[0]) / 2
    axes.imshow(
        cake, aspect="auto", origin="lower", interpolation="nearest",
        norm=PowerNorm(0.5, vmin=0, vmax=max(highest, 1e-12)),
        cmap=colormaps["inferno"].with_extremes(bad="#8c8c8c"),
        extent=(*reach, float(found.azimuthal[0]) - step, float(found.azimuthal[-1]) + step),
    )  # fmt: skip
    for ring in calibration.rings:
        axes.axvline(ring.q, color="white", linewidth=0.6, linestyle=(0, (2, 4)))
    axes.set_title("the rings, unrolled: straight where the geometry is right", fontsize=11)
    axes.set_ylabel("azimuth [deg]")
    axes.set_xlabel("q [1/angstrom]")


def _draw_residuals(axes: Axes, calibration: Calibration) -> None:
    cells = calibration.residuals
    percent, error = 100 * cells.shift / cells.line, 100 * cells.error / cells.line
    colours = colormaps["viridis"]
    lowest, highest = float(cells.line.min()), float(cells.line.max())
    span = max(highest - lowest, 1e-12)
    axes.axhline(0, color=_GREY, linewidth=1)
    for line in np.unique(cells.line):
        of = cells.line == line
        axes.errorbar(
            cells.chi_deg[of], percent[of], yerr=error[of], fmt="o", markersize=3.5, linewidth=0.7,
            color=colours(float((line - lowest) / span)), alpha=0.85,
        )  # fmt: skip
    most = float(np.percentile(np.abs(percent), 97)) * 1.5
    axes.set_ylim(-most, most)
    axes.set_xlim(-180, 180)
    axes.set_xticks(range(-180, 181, 45))
    axes.set_title("what is left of each sector: ring outside the table's place, % of q",
                   fontsize=11)  # fmt: skip
    axes.set_xlabel("azimuth [deg]")
    axes.set_ylabel("% of q")
    figure = axes.get_figure(root=True)
    if figure is not None and highest > lowest:
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize

        bar = ScalarMappable(Normalize(lowest, highest), colours)
        figure.colorbar(bar, cax=axes.inset_axes((1.02, 0, 0.02, 1)), label="q [1/angstrom]")


def _reach(calibration: Calibration) -> tuple[float, float]:
    """The range of q that is shown: a little more than the rings."""
    first, last = calibration.rings[0].q, calibration.rings[-1].q
    return 0.8 * first, 1.06 * last
