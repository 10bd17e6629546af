"""What is drawn of the results of a run: which curves share a figure, and what stands beside them.

Whatever an analysis gives as `DataGroup` finds its figure here; nothing needs to be said about a
new kind of result.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import asin, degrees, pi
from typing import Any, Final

import numpy as np

from femto_bluesky.model.geometry import HC_KEV_ANGSTROM
from femto_bluesky.model.maps import as_map, with_units
from femto_bluesky.model.results import DataGroup, DataGroupError, Quantity
from femto_bluesky.model.rois import slug
from femto_bluesky.viewer.page.curve_points import (
    Floats,
    Points,
    Window,
    errors_of,
    numbers,
    points_of,
    texts,
)
from femto_bluesky.viewer.page.curve_titles import told_apart
from femto_bluesky.viewer.page.photon_marks import overlap_share
from femto_bluesky.viewer.page.region_colours import COLOURS, region_colours

log = logging.getLogger(__name__)

TABS: Final[Mapping[str, Sequence[str]]] = {
    "Step means": ("step_means", "maps", "roi_means"),
    "Photons": (
        "energy_histogram", "photons_of_steps", "photons_of_shots", "energies_of_steps",
    ),
    "I(q)": ("azimuthal", "cake", "azimuthal_of_steps"),
    "Others": (),
}  # fmt: skip
"""How the paths of the results begin that stand in each tab, in order; `Others` has the rest."""

OF_REGIONS: Final = ("step_means", "roi_means")
OF_STEPS: Final = ("step_means", "photons_of_steps")
HISTOGRAM: Final = "energy_histogram"
SUMS: Final = "accumulated"

Q_AXES: Final = {"q": "q [1/Å]", "2theta": "2θ [°]", "d": "d [Å]"}
"""What I(q) is drawn against."""

D_ABOVE_LINES: Final = 1.5
D_REACH: Final = 10.0
"""d is drawn up to so many times that of the first line, or where there is none the smallest."""


@dataclass(frozen=True)
class Found:
    """The results of one run, and what is known of it."""

    groups: Sequence[DataGroup]
    start: Mapping[str, Any] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    name: str = ""


@dataclass(frozen=True)
class Choices:
    """What somebody has chosen to see; `detector` comes first. Without `regions`, all."""

    errors: str = "std"
    is_log: bool = False
    against: str = ""
    q_axis: str = "q"
    regions: frozenset[str] = frozenset()
    detector: str = ""
    windows: Mapping[str, Window] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Series:
    """One curve; `age` is 0 for the run that is shown, 1, 2 ... for those before it.

    `of` is the label of the same curve in the run that is shown.
    """

    label: str
    colour: str
    points: Points
    age: int = 0
    has_order: bool = True
    of: str = ""


@dataclass(frozen=True, eq=False)
class CurvePlan:
    """One figure of curves. `key` changes where what is on its axes is something else."""

    key: str
    name: str
    title: str
    x_label: str
    y_label: str
    errors_name: str
    series: Sequence[Series]
    lines: Mapping[str, float]
    x_texts: Mapping[int, str]
    is_log: bool
    marks_newest: bool


@dataclass(frozen=True, eq=False)
class MapPlan:
    """One figure of an image over two axes."""

    key: str
    name: str
    group: DataGroup
    is_log: bool


Plan = CurvePlan | MapPlan


@dataclass(frozen=True)
class Surroundings:
    """What the analysis knows beside its results.

    The names of its regions, the energy at a detector in keV (None: not known), places to mark
    along the axis of a result, and whether the run goes on, so that the newest step is marked.
    """

    regions: Collection[str] = ()
    energy_kev: Callable[[str], float | None] = lambda detector: None
    marks: Callable[[DataGroup], Mapping[str, float]] = lambda group: {}
    goes_on: bool = False


def planned(
    tab: str,
    shown: Found,
    before: Sequence[Found],
    choices: Choices,
    around: Surroundings,
) -> list[Plan]:
    """The figures of a tab, in order; `before` are earlier runs, drawn paler on the same axes."""
    plans: list[Plan] = []
    runs = [_chosen(found, tab, choices, around) for found in (shown, *before)]
    kinds = list(dict.fromkeys(_kind(group) for group in runs[0]))
    order = {kind: place for place, kind in enumerate(TABS[tab])}
    for kind in sorted(kinds, key=lambda kind: order.get(kind, len(order))):
        of_kind = [[group for group in groups if _kind(group) == kind] for groups in runs]
        images = [group for group in of_kind[0] if group.signal.values.ndim == 2]
        plans += [
            MapPlan(
                f"{group.path} {_axes(group)}", group.path.replace("/", "-"), group, choices.is_log
            )
            for group in images
            if group.signal.values.size
        ]
        curves = [[group for group in found if group.signal.values.ndim == 1] for found in of_kind]
        for axes in _by_detector(curves[0], choices.detector, around.regions):
            same = [
                [group for group in found if _place(group, around.regions) == axes]
                for found in curves
            ]
            names = [found.name for found in (shown, *before)]
            key = f"{kind} of {' '.join(axes)}"
            name = "-".join(filter(None, [kind, axes[1]]))
            n_before = sum(plan.name.partition("#")[0] == name for plan in plans)
            name = f"{name}#{n_before + 1}" if n_before else name
            plans.append(replace(_curves(key, same, names, choices, around), name=name))
    return plans


def tab_of(group: DataGroup) -> str | None:
    """In which tab a result stands; None for the images of sums, which stand in the centre."""
    kind = _kind(group)
    if kind == SUMS:
        return None
    return next((tab for tab, kinds in TABS.items() if kind in kinds), "Others")


def region_of(group: DataGroup, regions: Collection[str]) -> str | None:
    """The region that a curve is of: its path ends in it, the longest such name."""
    if _kind(group) not in OF_REGIONS:
        return None
    fitting = [name for name in regions if group.path.endswith(f"_{slug(name)}")]
    return max(fitting, key=len, default=None)


def motors_of(group: DataGroup) -> list[str]:
    """What a curve of steps can be drawn against: its axis, and the other motors beside it."""
    others = [c.name for c in group.columns if c.values.dtype.kind in "iuf"]
    known = {"n_shots", "n", "sem", "mean", "std"}
    motors = [name for name in others if name not in known and "_photon" not in f"_{name}"]
    motors = [name for name in motors if not name.startswith(("n_", "overlap", "hot_"))]
    return [group.axes[0].name, *motors] if _kind(group) in OF_STEPS else []


def _chosen(found: Found, tab: str, choices: Choices, around: Surroundings) -> list[DataGroup]:
    """The results of a run that are shown in a tab, against what is chosen."""
    groups = []
    for group in found.groups:
        if tab_of(group) != tab or not _is_whole(group):
            continue
        if not group.axes:
            sides = zip("yx", group.signal.values.shape, strict=True)
            pixels = [Quantity(name, np.arange(n), "px") for name, n in sides]
            group = replace(group, axes=tuple(pixels))
        region = region_of(group, around.regions)
        if choices.regions and region is not None and region not in choices.regions:
            continue
        group = with_units(group, found.units)
        if _kind(group) in (HISTOGRAM, "energies_of_steps"):
            group = _of_energies(group, found)
        is_of_steps = _kind(group) in OF_STEPS
        if is_of_steps and not choices.against:
            group = as_map(group, found.start) or group
        if is_of_steps and choices.against in motors_of(group):
            group = _against(group, choices.against)
        if group.axes and group.axes[-1].name == "q" and choices.q_axis != "q":
            group = _in_other_unit(group, choices.q_axis, around)
        groups.append(group)
    return groups


def _curves(
    key: str,
    runs: Sequence[Sequence[DataGroup]],
    names: Sequence[str],
    choices: Choices,
    around: Surroundings,
) -> CurvePlan:
    shown = runs[0]
    title, labels = told_apart([group.title for group in shown])
    if len(shown) == 1:
        labels = [around_name(shown[0], around)]
    label_of = dict(zip((group.path for group in shown), labels, strict=True))
    colours = region_colours(around.regions)
    looks: dict[str, str] = {}
    for i, group in enumerate(shown):
        region = region_of(group, around.regions)
        other = COLOURS[(i + 1) % len(COLOURS)]
        looks[group.path] = other if region is None else colours[region]
    kind = _kind(shown[0])
    series: list[Series] = []
    lines: dict[str, float] = {}
    n_all = n_drawn = 0
    for age, groups in enumerate(runs):
        for group in groups:
            if group.path not in looks:
                continue
            x = numbers(group.axes[0])
            points = points_of(
                group, x, errors=choices.errors, is_log=choices.is_log,
                is_histogram=kind == HISTOGRAM, window=choices.windows.get(key),
            )  # fmt: skip
            n_all, n_drawn = max(n_all, points.n_all), max(n_drawn, len(points.x))
            of = label_of[group.path]
            label = f"{of}, {names[age]}".removeprefix(", ") if age else of
            steps = np.diff(x[np.isfinite(x)])
            has_order = bool((steps > 0).all() or (steps < 0).all())
            series.append(Series(label, looks[group.path], points, age, has_order, of))
            if not age:
                lines.update(group.lines)
                lines.update(around.marks(group))
    group = shown[0]
    remark = f"; {n_all} points, lowest and highest of each column drawn" * (n_drawn < n_all)
    if shown[0].axes[0].name == "d" and np.isfinite(all_d := numbers(shown[0].axes[0])).any():
        remark += f"; d up to {np.nanmax(all_d):.3g} Å"
    signals = dict.fromkeys(group.signal.label for group in shown)
    units = f" [{group.signal.units}]" if group.signal.units else ""
    errors_name = next(filter(None, (errors_of(g, choices.errors)[1] for g in shown)), "")
    y_label = next(iter(signals)) if len(signals) == 1 else f"{group.signal.name}{units}"
    return CurvePlan(
        key=key,
        name=kind,
        title=(title or kind.replace("_", " ").capitalize()) + remark,
        x_label=group.axes[0].label.replace("angstrom", "Å").replace("[adu]", "[ADU]"),
        y_label=y_label,
        errors_name=errors_name,
        series=series,
        lines=lines,
        x_texts=texts(group.axes[0]),
        is_log=choices.is_log,
        marks_newest=around.goes_on and kind in OF_STEPS,
    )


def around_name(group: DataGroup, around: Surroundings) -> str:
    """What one curve alone is called: its region, or what its path ends in."""
    return region_of(group, around.regions) or group.path.rpartition("/")[2]


def _is_whole(group: DataGroup) -> bool:
    """Whether a result can be drawn; one that is not leaves the others."""
    try:
        group.check()
    except DataGroupError as error:
        log.warning("not shown: %s", error)
        return False
    return True


def _kind(group: DataGroup) -> str:
    return group.path.partition("/")[0]


def _by_detector(
    groups: Iterable[DataGroup], first: str, regions: Collection[str]
) -> list[tuple[str, str]]:
    """The figures that curves of one kind stand in, those of a detector first."""
    places = dict.fromkeys(_place(group, regions) for group in groups)
    return sorted(places, key=lambda place: place[1] != first)


def _place(group: DataGroup, regions: Collection[str]) -> tuple[str, str]:
    """What curves that share a figure have in common: their axes, and the detector of regions.

    Counts of different detectors differ by orders of magnitude.
    """
    region = region_of(group, regions)
    column = group.path.partition("/")[2]
    return _axes(group), "" if region is None else column.removesuffix(f"_{slug(region)}")


def _axes(group: DataGroup) -> str:
    """What is on the axes of a result: curves of which it is the same share a figure."""
    return " over ".join([group.signal.units, *(axis.label for axis in reversed(group.axes))])


def _of_energies(group: DataGroup, found: Found) -> DataGroup:
    """The histogram with the share of overlaps in its title; that of steps as far as it is filled.

    The share is in the columns of the same detector's curve of steps.
    """
    detector = group.path.partition("/")[2]
    if group.signal.values.ndim == 2:
        filled = np.flatnonzero(group.signal.values.any(axis=0))
        last = int(filled[-1]) + 2 if len(filled) else 2
        energy = replace(group.axes[1], values=group.axes[1].values[:last])
        signal = replace(group.signal, values=group.signal.values[:, :last])
        return replace(group, signal=signal, axes=(group.axes[0], energy))
    steps = next((g for g in found.groups if g.path == f"photons_of_steps/{detector}"), None)
    share = None if steps is None else overlap_share({c.name: c.values for c in steps.columns})
    if share is None:
        return group
    return replace(group, title=f"{group.title}, {100 * share:.3g} % overlaps")


def _against(group: DataGroup, motor: str) -> DataGroup:
    """The same curve against another of its columns."""
    column = next((c for c in group.columns if c.name == motor), None)
    if column is None:
        return group
    others = tuple(c for c in group.columns if c is not column)
    return replace(group, axes=(column,), columns=(group.axes[0], *others))


def _in_other_unit(group: DataGroup, wanted: str, around: Surroundings) -> DataGroup:
    """I(q) against the scattering angle or the distance of planes; as it is where none is known."""
    detector = str(group.attributes.get("detector", ""))
    energy = around.energy_kev(detector)
    if wanted == "2theta" and energy is None:
        return group

    def place(q: float) -> float:
        if wanted == "d" or energy is None:
            return 2 * pi / q if q > 0 else np.nan
        sine = q * HC_KEV_ANGSTROM / energy / (4 * pi)
        return degrees(2 * asin(sine)) if abs(sine) <= 1 else np.nan

    def places(values: Iterable[float]) -> Floats:
        return np.array([place(float(q)) for q in values], np.float64)

    name, units = ("d", "angstrom") if wanted == "d" else ("2theta", "deg")
    values = places(group.axes[-1].values)
    lines = {line: place(q) for line, q in group.lines.items()}
    if wanted == "d" and group.signal.values.ndim == 1:
        # what is scattered beside the beam has d of a hundred times that of the lines
        known = [d for d in lines.values() if np.isfinite(d)]
        far = D_ABOVE_LINES * max(known) if known else D_REACH * np.nanmin(values, initial=np.inf)
        values[values > far] = np.nan
    axis = Quantity(name, values, units, "2θ" * (name == "2theta"))
    return replace(group, axes=(*group.axes[:-1], axis), lines=lines)
