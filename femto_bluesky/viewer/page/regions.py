"""Regions of interest: as boxes on the image, and as a list with what is in them."""

from __future__ import annotations

import base64
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from femto_bluesky.model.results import DataGroup
from femto_bluesky.model.rois import Roi, RoiError
from femto_bluesky.viewer.hub import News
from femto_bluesky.viewer.page import region_edits as edits
from femto_bluesky.viewer.page import region_files
from femto_bluesky.viewer.page.in_one_go import in_one_go
from femto_bluesky.viewer.page.region_boxes import Deed, RegionBox, RegionBoxes
from femto_bluesky.viewer.page.region_colours import region_colours
from femto_bluesky.viewer.page.region_list import download, region_list
from femto_bluesky.viewer.page.region_statistics import (
    BoxStatistics,
    box_statistics,
    in_words,
    newest_steps,
)
from femto_bluesky.viewer.page.session import Session

LOOK_S: Final = 0.25
"""No more often is it looked what is in the regions."""

SHARE: Final = 0.1
"""And for no larger part of the time."""

MAX_FILE_B: Final = 1_000_000

KEYS: Final = {
    "\u2190 \u2191 \u2192 \u2193": "shift the selected region by 1 px, with Shift by 10",
    "Del": "delete the selected region",
    "Esc": "draw no region, or select none",
}
"""Keys that the image and the list understand, for the list of all keys."""


class Regions:
    """The regions of the analysis on a figure (of the shown detector) and in a list (all of them).

    `selected` is the one that this browser has chosen, which data and others' changes leave alone.
    `view` is the list.
    """

    def __init__(self, session: Session, figure: Any) -> None:
        self._session = session
        self.selected: str | None = None
        self._boxes = RegionBoxes(session, figure, self.do)
        self.view: Any = region_list(self.do)
        self._wanted: str | None = None  # to be selected when it is there
        self._shifts: deque[tuple[int, int]] = deque()
        self._is_shifting = False
        self._shapes: dict[str, tuple[int, int]] = {}
        self._looked_at: Any = None
        self._looked_groups: list[DataGroup] = []
        self._is_looking = False
        self._look_due = 0.0
        self._shown: Any = None
        self._shown_detector: str | None = None
        self._doing: Mapping[str, Callable[..., None]] = {
            "select": self._select,
            "new": lambda: self._draw_next(True),
            "cancel": self._cancel,
            "draw": self._drawn,
            "drop": self._dropped,
            "shift": self._shifted,
            "rename": lambda name, value: self._edit(partial(edits.rename, name=name, new=value)),
            "change": self._typed,
            "put": lambda name, detector: self._edit(
                partial(edits.change, name=name, values={"detector": detector or None})
            ),
            "copy": lambda: self._edit_selected(edits.copy),
            "delete": lambda: self._edit_selected(edits.delete),
            "load": self._load,
            "save": self._save,
        }
        shortcuts = session.shortcuts
        shortcuts.add("n", "draw a new region", lambda: self._draw_next(not self._boxes.is_drawing))
        # these are heard by the image and the list only: region_boxes.js
        for keys, words in KEYS.items():
            shortcuts.add(keys, words, lambda: None)
        self._show()

    @property
    def regions(self) -> Mapping[str, Roi]:
        """The regions as they are now."""
        return self._session.live.rois.settings.rois

    def refresh(self, news: frozenset[News]) -> None:
        """Show what is new of the regions, and of what is in them."""
        if "settings" in news:
            self._shown = None
        if news != {"image"} or self._session.detector != self._shown_detector:
            self._show()
        # "pulse": what came last, when it was too early to look
        session, known = self._session, self._looked_at
        is_other = known is not None and known[0] != session.detector
        if news & {"image", "curves", "settings", "pulse"} and (is_other or not session.is_paused):
            self._look()

    def do(self, deed: Deed) -> None:
        """Do what was asked for with mouse, keys or in the list; see `RegionBoxes`, `region_list`.

        What is not possible is said.
        """
        given = dict(deed)
        try:
            self._doing[given.pop("deed")](**given)
        except ValueError as error:
            self._session.say(str(error), "error")
            self._session.read_back()

    # what is shown

    def _show(self) -> None:
        """Show the regions where anything about them is another than what stands there."""
        session, regions = self._session, self.regions
        if self._wanted in regions:
            self.selected, self._wanted = self._wanted, None
        if self.selected not in regions:
            self.selected = None
        left_out = session.live.rois.left_out
        state = (
            regions, session.detector, session.detectors, self.selected, left_out,
            dict(self._shapes), self._boxes.is_drawing,
        )  # fmt: skip
        if session.detector != self._shown_detector:
            # numbers of the one before would be taken for those of this one
            self._shown_detector, self.view.numbers = session.detector, {}
        if state == self._shown:
            return
        is_whole = self._shown is None
        self._shown = state
        colours = region_colours(regions)
        boxes, rows = [], []
        for name, roi in regions.items():
            note = left_out.get(name, "") or self._note(name, roi)
            is_on = session.detector is None or roi.is_on(session.detector)
            if is_on:
                rows_of_image, _ = self._shapes.get(session.detector or "", (0, 0))
                is_at_top = roi.y0 < rows_of_image / 30
                boxes.append(RegionBox(name, roi, colours[name], not note, is_at_top))
            rows.append(
                {
                    "name": name, "colour": colours[name], "note": note, "is_off": not is_on,
                    "detector": roi.detector or "", "x0": roi.x0, "y0": roi.y0, "x1": roi.x1,
                    "y1": roi.y1,
                }
            )  # fmt: skip
        with in_one_go(session.doc):
            self._boxes.show(boxes, self.selected, may_change=session.may_change)
        self.view.param.update(
            rows=rows, selected=self.selected or "", detectors=session.detectors,
            is_locked=not session.may_change, is_drawing=self._boxes.is_drawing,
            n_shown=self.view.n_shown + is_whole,
        )  # fmt: skip

    def _note(self, name: str, roi: Roi) -> str:
        """Why a region is not on the image that is shown though it is on that detector."""
        detector = self._session.detector
        shape = self._shapes.get(detector or "")
        if detector is None or shape is None or not roi.is_on(detector):
            return ""
        try:
            roi.check_inside(shape, name, detector)
        except RoiError as error:
            return str(error)
        return ""

    # what is in them

    def _look(self) -> None:
        """See what is in the regions, in a thread, where something has changed and it is time."""
        session, detector = self._session, self._session.detector
        sums = session.live.accumulations.of.get(detector or "")
        if detector is None or sums is None or self._is_looking:
            return
        state, groups = (detector, sums.version, self.regions), session.hub.groups
        is_known = state == self._looked_at and groups is self._looked_groups
        is_other = self._looked_at is not None and self._looked_at[0] != detector
        if is_known or (time.monotonic() < self._look_due and not is_other):
            return
        self._looked_at, self._looked_groups, self._is_looking = state, groups, True
        regions = {name: roi for name, roi in self.regions.items() if roi.is_on(detector)}

        def look() -> Mapping[str, Mapping[str, str]]:
            begun = time.monotonic()
            try:
                glimpse = sums.look()
                steps = newest_steps(groups, detector, regions)
                found: dict[str, BoxStatistics] = {}
                if glimpse is not None:
                    self._shapes[detector] = shape = glimpse.image.shape[0], glimpse.image.shape[1]
                    fitting = {n: roi for n, roi in regions.items() if roi.is_inside(shape)}
                    found = {name: box_statistics(glimpse, roi) for name, roi in fitting.items()}
                return {name: in_words(found.get(name), steps.get(name)) for name in regions}
            finally:
                ended = time.monotonic()
                self._look_due = ended + max(LOOK_S, (ended - begun) / SHARE)
                self._is_looking = False

        def show(numbers: Mapping[str, Mapping[str, str]]) -> None:
            if session.detector == detector:
                self.view.numbers = dict(numbers)
            self._show()

        session.in_thread(look, show)

    # what is done

    def _select(self, name: str | None) -> None:
        self.selected, self._wanted = name, None
        self._show()

    def _draw_next(self, is_drawing: bool) -> None:
        self._boxes.draw_next(is_drawing and self._session.may_change)
        self._show()

    def _cancel(self) -> None:
        if self._boxes.is_drawing:
            self._draw_next(False)
        else:
            self._select(None)

    def _drawn(self, **edges: float) -> None:
        self._draw_next(False)
        session = self._session
        box = edits.drawn(edges, within=self._shapes.get(session.detector or ""))
        # where there is but one, a region is for whatever comes, as at the prompt
        detector = session.detector if len(session.detectors) > 1 else None
        self._edit(lambda regions: edits.add(regions, Roi(**box, detector=detector)))

    def _dropped(self, name: str, hold: int, **edges: float) -> None:
        self._edit(
            partial(edits.change, name=name, values=edits.drawn(edges)),
            partial(self._boxes.let_go, hold),
        )

    def _typed(self, name: str, edge: str, value: str) -> None:
        if edge not in edits.EDGES:
            raise ValueError(f"{edge!r} is not an edge")
        self._edit(partial(edits.change, name=name, values={edge: value.strip()}))

    def _shifted(self, dx: int, dy: int) -> None:
        """Shift the selected one; keys that are pressed meanwhile are gathered."""
        name = self.selected
        if name is None:
            return
        if not self._session.may_change:
            self._session.act(lambda: None)  # which says so
            return
        self._shifts.append((int(dx), int(dy)))
        if self._is_shifting:
            return
        self._is_shifting = True

        def shift(regions: edits.Regions) -> tuple[dict[str, Roi], str]:
            # first, so that what comes while this is done is not forgotten
            self._is_shifting = False
            by = [self._shifts.popleft() for _ in range(len(self._shifts))]
            return edits.shift(regions, name, sum(x for x, _ in by), sum(y for _, y in by))

        self._edit(shift)

    def _edit_selected(self, edit: Callable[..., tuple[dict[str, Roi], str | None]]) -> None:
        if self.selected is not None:
            self._edit(partial(edit, name=self.selected))

    def _edit(self, edit: edits.Edit, then: Callable[[], object] = int) -> None:
        """Change the regions, in a thread."""

        def change() -> None:
            try:
                self._change(edit)
            finally:
                then()

        self._session.act(change)

    def _change(self, edit: edits.Edit) -> None:
        """Change the regions as they are when no other browser changes them."""

        def changes() -> Mapping[str, Any]:
            before = self.regions
            after, name = edit(before)
            self._wanted = name if name not in before else None
            return {"rois": after}

        self._session.hub.change_with(changes)

    def _load(self, name: str, data: str, size: int = 0) -> None:
        raw = base64.b64decode(data)
        n_bytes = max(int(size), len(raw))
        if n_bytes > MAX_FILE_B:
            raise RoiError(f"{name} has {n_bytes} bytes; regions take no more than {MAX_FILE_B}")

        def load() -> None:
            # before shots wait for it
            found = region_files.read(raw, name)
            self._change(partial(edits.take_in, others=found))

        self._session.act(load)

    def _save(self) -> None:
        download(self.view, "regions.json", region_files.written(self.regions))
