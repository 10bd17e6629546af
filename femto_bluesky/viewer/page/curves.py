"""The curves of the page: step means, photons, I(q), and whatever else an analysis shows."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from functools import partial
from html import escape
from typing import Any, Final, NamedTuple

from femto_bluesky.viewer.hub import News
from femto_bluesky.viewer.page.curve_figure import CurveFigure
from femto_bluesky.viewer.page.curve_plans import (
    Q_AXES,
    TABS,
    Choices,
    CurvePlan,
    MapPlan,
    Plan,
    Surroundings,
    motors_of,
    planned,
    tab_of,
)
from femto_bluesky.viewer.page.curve_points import Window
from femto_bluesky.viewer.page.earlier_runs import NEWEST, EarlierRuns
from femto_bluesky.viewer.page.exports import ExportMenu
from femto_bluesky.viewer.page.in_one_go import in_one_go
from femto_bluesky.viewer.page.map_figure import MapFigure
from femto_bluesky.viewer.page.photon_marks import marks
from femto_bluesky.viewer.page.session import Session

log = logging.getLogger(__name__)

NOTHING: Final = {
    "Step means": "Draw a region on the image: its mean at each step comes here.",
    "Photons": "Photons of detectors on which they are counted come here.",
    "I(q)": "With a geometry, I(q) of the run and of the sum comes here.",
    "Others": "What analyses of your own show comes here.",
}
EVERY_S: Final = 0.4
"""Curves are drawn at most so often, whatever comes: many of them keep a browser busy."""

MOST_EARLIER: Final = 5
"""So many runs before the one that is shown are offered to be drawn beside it."""


class CurvesPanel:
    """Tabs with figures. What is shown is planned in a thread; hidden tabs are left as they are.

    Which run is shown, earlier ones beside it, and how, is this browser's own choice.
    """

    def __init__(self, session: Session) -> None:
        import panel as pn
        from bokeh.models.ui import Tooltip

        self._session = session
        self._runs = EarlierRuns(session.hub)
        self._exports = ExportMenu(session, self._runs)
        self._windows: dict[str, Window] = {}
        self._is_planning = self._is_stale = self._is_due = False
        self._shown_at = -EVERY_S
        wide: Any = {"sizing_mode": "stretch_width", "margin": (2, 4)}
        self._run = pn.widgets.Select(
            options={"newest run": NEWEST}, value=NEWEST, css_classes=["fb-run-shown"], **wide,
        )  # fmt: skip
        self._earlier = pn.widgets.CheckButtonGroup(
            options=[], css_classes=["fb-earlier-runs"], margin=(2, 4),
            description=Tooltip(
                content="Draw the curves of these scans too, paler", position="left"
            ),
        )  # fmt: skip
        self._tabs = {name: _Tab(name, self._ask, self._look) for name in TABS}
        self._stack = pn.Tabs(
            *((name, tab.view) for name, tab in self._tabs.items()),
            css_classes=["fb-curves"], sizing_mode="stretch_width", margin=0,
        )  # fmt: skip
        self.view: Any = pn.Column(
            pn.Row(self._run, self._earlier, self._exports.view, sizing_mode="stretch_width"),
            self._stack, sizing_mode="stretch_width", margin=0,
        )  # fmt: skip
        for widget in (self._run, self._earlier):
            widget.param.watch(self._ask, "value")
        self._stack.param.watch(self._turned, "active")
        self._is_turning = self._has_turned = False

    @property
    def tab(self) -> str:
        """The tab that is seen."""
        return list(self._tabs)[self._stack.active]

    def refresh(self, news: frozenset[News]) -> None:
        """Show what is new."""
        if news & {"curves", "settings"} and not self._is_due:
            wait_s = self._shown_at + EVERY_S - time.monotonic()
            if wait_s <= 0:
                self._look_again()
            else:
                self._is_due = True
                self._session.doc.add_timeout_callback(self._look_again, int(1e3 * wait_s) + 1)

    def _turned(self, *_: Any) -> None:
        self._has_turned |= not self._is_turning
        self._ask()

    def _turn_to(self, there: Collection[str]) -> None:
        """Show the first tab with something in it, unless somebody has chosen one."""
        first = next((name for name in self._tabs if name in there), None)
        if self._has_turned or self.tab in there or first is None:
            return
        self._is_turning = True
        self._stack.active = list(self._tabs).index(first)
        self._is_turning = False

    def _look_again(self) -> None:
        self._is_due = self._session.is_behind
        if self._is_due:
            self._session.doc.add_timeout_callback(self._look_again, int(1e3 * EVERY_S))
            return
        self._offer()
        self._ask()

    def _offer(self) -> None:
        """The runs and regions that there are now."""
        runs = self._runs.choices()
        options = {"newest run": NEWEST, **runs}
        if self._run.options != options:
            if self._run.value not in options.values():
                self._run.value = NEWEST
            self._run.options = options
        shown = self._run.value or self._runs.newest
        others = [uid for uid in runs.values() if uid != shown]
        # those that were chosen stay, though many have come since
        kept = [uid for uid in self._earlier.value if uid in others]
        offered = {*others[:MOST_EARLIER], *kept}
        options = self._runs.numbers(uid for uid in others if uid in offered)
        if self._earlier.options != options:
            self._earlier.param.update(options=options, value=kept)
        regions = list(self._session.live.rois.settings.rois)
        self._tabs["Step means"].offer_regions(regions)

    # planning, in a thread: one plan at a time, and the newest after it

    def _ask(self, *_: Any) -> None:
        self._is_stale = True
        if not self._is_planning:
            self._is_planning, self._is_stale = True, False
            tab, runs = self.tab, self._runs.choices()
            earlier = [uid for uid in runs.values() if uid in self._earlier.value]
            choices = self._tabs[tab].choices(self._windows, self._session.detector or "")
            self._session.in_thread(
                partial(self._plan, tab, self._run.value, earlier, choices),
                partial(self._show, tab),
            )

    def _plan(self, tab: str, run: str, earlier: list[str], choices: Choices) -> _Made:
        live = self._session.live
        try:
            shown = self._runs.found(run)
            before = [self._runs.found(uid) for uid in earlier]
            geometry = live.diffraction.geometry
            around = Surroundings(
                regions=list(live.rois.settings.rois),
                energy_kev=lambda name: None if (at := geometry(name)) is None else at.energy_kev,
                marks=partial(marks, live),
                goes_on=run == NEWEST and bool(live.shell.pulse.open_runs),
            )
            steps = [group for group in shown.groups if group.path.startswith("step_means/")]
            motors = motors_of(steps[0]) if steps else []
            there = [g for g in shown.groups if tab_of(g) is not None]
            self._exports.note(run, there)
            plans = planned(tab, shown, before, choices, around)
            return _Made(plans, motors, shown.name, {str(tab_of(group)) for group in there})
        except Exception as error:
            # whatever it is: what was shown before stays, and the next news are looked at
            log.exception("curves could not be made ready")
            raise _PlanError(f"the curves cannot be shown: {error}") from error
        finally:
            self._is_planning = False

    def _show(self, tab: str, made: _Made) -> None:
        plans, motors, run, there = made
        self._shown_at = time.monotonic()
        stem, nothing = run.replace(" ", "_") or "run", self._why_nothing(tab)
        with in_one_go(self._session.doc):
            self._tabs[tab].show(plans, stem, nothing)
        if tab == "Step means":
            self._tabs[tab].offer_motors(motors)
        self._exports.refresh()
        self._turn_to(there)
        if self._is_stale:
            self._ask()

    def _why_nothing(self, tab: str) -> str:
        problems = dict(self._session.live.diffraction.problems)
        if tab == "I(q)" and problems:
            return escape("; ".join(f"No I(q) on {name}: {why}" for name, why in problems.items()))
        return NOTHING[tab]

    def _look(self, key: str, window: Window) -> None:
        """Somebody looks at a part of a curve: finer columns there, where points are left out."""
        self._windows[key] = window
        self._ask()


class _Made(NamedTuple):
    """What was planned: the figures of a tab, motors, the run, and the tabs with something."""

    plans: list[Plan]
    motors: list[str]
    run: str
    there: set[str]


class _PlanError(ValueError):
    """Curves that could not be made ready."""


class _Tab:
    """One tab: how its curves are shown, and the figures, which are made once and used again."""

    def __init__(self, name: str, ask: Any, look: Any) -> None:
        import panel as pn
        from bokeh.layouts import column
        from bokeh.models import Spacer

        self.name, self._look = name, look
        slug = {"Step means": "steps", "Photons": "photons", "I(q)": "iq"}.get(name, "others")
        self._slug = slug
        small: Any = {"margin": (2, 4), "align": "center"}
        self._log = pn.widgets.Toggle(
            label="log", value=name == "I(q)", width=44, css_classes=[f"fb-log-{slug}"], **small
        )
        self._errors = pn.widgets.RadioButtonGroup(
            options=["std", "sem"], value="std", width=90, css_classes=["fb-errors"], **small
        )
        self._against = pn.widgets.Select(
            options={"axis": ""}, value="", width=110, css_classes=["fb-against"], **small
        )
        self._regions = pn.widgets.CheckButtonGroup(
            options=[], css_classes=["fb-regions-shown"], visible=False, margin=(2, 4)
        )
        self._q_axis = pn.widgets.RadioButtonGroup(
            options={label: key for key, label in Q_AXES.items()}, value="q", width=200,
            css_classes=["fb-q-axis"], **small,
        )  # fmt: skip
        own: list[Any] = [self._q_axis] if name == "I(q)" else []
        if name == "Step means":
            own = [self._errors, self._against, self._regions]
        for widget in (self._log, *own):
            widget.param.watch(ask, "value")
        self._nothing = pn.pane.HTML(NOTHING[name], sizing_mode="stretch_width")
        self._curves: list[CurveFigure] = []
        self._maps: list[MapFigure] = []
        self._thinned: set[str] = set()
        # Bokeh's own: what Panel sends of its layouts overtakes what is sent of the figures in them
        self._end = Spacer(height=0)  # a layout without anything in it is warned of
        self._figures = column(self._end, sizing_mode="stretch_width", margin=0, spacing=2)
        self.view: Any = pn.Column(
            pn.FlexBox(self._log, *own, sizing_mode="stretch_width", margin=0), self._nothing,
            pn.pane.Bokeh(self._figures, sizing_mode="stretch_width", margin=0),
            sizing_mode="stretch_width", margin=0,
        )  # fmt: skip

    def choices(self, windows: dict[str, Window], detector: str) -> Choices:
        """What is chosen here."""
        is_of_regions = self.name == "Step means"
        return Choices(
            errors=self._errors.value,
            is_log=self._log.value,
            against=self._against.value if is_of_regions else "",
            q_axis=self._q_axis.value,
            regions=frozenset(self._regions.value if is_of_regions else ()),
            windows=dict(windows),
            detector=detector,
        )

    def offer_regions(self, regions: list[str]) -> None:
        """Let these regions be chosen."""
        if self._regions.options != regions:
            kept = [name for name in self._regions.value if name in regions]
            self._regions.param.update(options=regions, value=kept, visible=len(regions) > 1)

    def offer_motors(self, motors: list[str]) -> None:
        """Let curves of steps be drawn against these."""
        options = {motors[0] if motors else "axis": ""} | {name: name for name in motors[1:]}
        if self._against.options != options:
            if self._against.value not in options.values():
                self._against.value = ""
            self._against.options = options
        self._against.visible = len(options) > 1

    def show(self, plans: list[Plan], stem: str, why_nothing: str) -> None:
        """Show these figures and no others."""
        curves = [plan for plan in plans if isinstance(plan, CurvePlan)]
        maps = [plan for plan in plans if isinstance(plan, MapPlan)]
        self._nothing.visible = not plans
        if self._nothing.object != why_nothing:
            self._nothing.object = why_nothing
        while len(self._curves) < len(curves):
            self._curves.append(CurveFigure(f"{self._slug}-{len(self._curves)}", self._look_finer))
        while len(self._maps) < len(maps):
            self._maps.append(MapFigure(f"{self._slug}-map-{len(self._maps)}"))
        for figure, plan in zip(self._curves, curves, strict=False):
            figure.show(plan, stem)
        for map_figure, map_plan in zip(self._maps, maps, strict=False):
            map_figure.show(map_plan, stem)
        for left in self._curves[len(curves) :]:
            left.hide()
        for map_left in self._maps[len(maps) :]:
            map_left.hide()
        # a map of the steps is what such a scan is for
        of_curves = [figure.figure for figure in self._curves]
        of_maps = [figure.figure for figure in self._maps]
        wanted = of_maps + of_curves if self.name == "Step means" else of_curves + of_maps
        wanted.append(self._end)
        if self._figures.children != wanted:
            self._figures.children = wanted
        self._thinned = {
            plan.key
            for plan in curves
            if any(len(series.points.x) < series.points.n_all for series in plan.series)
        }

    def _look_finer(self, key: str, window: Window) -> None:
        if key in self._thinned:
            self._look(key, window)
