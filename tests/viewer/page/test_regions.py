"""Regions without a browser: what is done to them, and what is shown."""

from __future__ import annotations

import base64
import json
import re
import threading
from typing import Any

import numpy as np
import pytest

from femto_bluesky import Roi
from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.model.shots import DenseFrame, Shot
from femto_bluesky.viewer.hub import Hub
from femto_bluesky.viewer.page.region_boxes import GRIP
from femto_bluesky.viewer.page.region_colours import COLOURS, region_colours
from femto_bluesky.viewer.page.regions import Regions
from tests.viewer.page.at_once import AtOnce
from tests.viewer.shown import seen

SETTINGS = frozenset({"settings"})


@pytest.fixture
def live() -> LiveAnalysis:
    return LiveAnalysis({"a": Roi(x0=1, y0=2, x1=9, y1=10), "b": Roi(x0=3, y0=3, x1=5, y1=6)})


class Shown:
    """The regions of one browser, and what is done with its mouse."""

    def __init__(self, hub: Hub, **rights: Any) -> None:
        from bokeh.plotting import figure

        self.session = AtOnce(hub, **rights)
        self.figure, self.n = figure(), 0
        self.regions = Regions(self.session, self.figure)
        self.regions.refresh(SETTINGS)

    @property
    def grips(self) -> list[Any]:
        return [each for each in self.figure.center if each.name == GRIP and each.visible]

    @property
    def edges(self) -> dict[str, tuple[float, ...]]:
        """Where the boxes are, from the largest to the smallest."""
        rows = self.figure.select_one({"name": "fb-regions"}).data_source.data
        edges = [(g.left, g.top, g.right, g.bottom) for g in self.grips]
        columns = zip(*(rows[e] for e in ("left", "top", "right", "bottom")), strict=True)
        assert edges == list(columns)
        return dict(zip(rows["name"], edges, strict=True))

    @property
    def names(self) -> list[str]:
        return [row["name"] for row in self.regions.view.rows]

    def hand(self, deed: str, **given: Any) -> None:
        """What the browser tells of its mouse and keys."""
        rows = self.figure.select_one({"name": "fb-regions"}).data_source
        self.n += 1
        rows.tags[0].data = {"deed": [json.dumps({"deed": deed, "n": self.n, **given})]}
        self.regions.refresh(SETTINGS)

    def drag(self, i: int, left: float, top: float, right: float, bottom: float) -> None:
        """Move a grip, as the browser does it."""
        edges = {"left": left, "top": top, "right": right, "bottom": bottom}
        self.hand("hold", i=i)
        self.grips[i].update(**edges)
        self.hand("drop", i=i, **edges)

    def do(self, deed: str, **given: Any) -> None:
        """What is done in the list."""
        self.regions.do({"deed": deed, **given})
        self.regions.refresh(SETTINGS)


def test_the_smaller_one_lies_above_the_larger(live: LiveAnalysis, hub: Hub) -> None:
    live.configure({"rois": dict(reversed(live.rois.settings.rois.items()))})
    shown = Shown(hub)
    assert list(shown.edges.items()) == [("a", (1, 2, 9, 10)), ("b", (3, 3, 5, 6))]
    assert shown.names == ["b", "a"]


def test_what_is_dragged_comes_to_whole_pixels(live: LiveAnalysis, hub: Hub) -> None:
    shown = Shown(hub)
    shown.drag(0, 2.4, 3.6, 10.4, 11.6)
    assert live.rois.settings.rois["a"] == Roi(x0=2, y0=4, x1=10, y1=12)
    assert shown.edges["a"] == (2, 4, 10, 12)
    assert shown.regions.selected == "a"


def test_what_is_dragged_where_it_must_not_be_goes_back(live: LiveAnalysis, hub: Hub) -> None:
    seen(live, shape=(12, 16))
    shown = Shown(hub)
    outside = {"greater than or equal to 0": (-2, 2, 6, 10), "reaches outside": (11, 2, 19, 10)}
    for words, edges in outside.items():
        shown.drag(0, *edges)
        assert words in shown.session.said[-1]
        assert shown.edges["a"] == (1, 2, 9, 10)
    assert live.rois.settings.rois["a"] == Roi(x0=1, y0=2, x1=9, y1=10)


def test_what_is_held_stays_where_the_mouse_has_it(live: LiveAnalysis, hub: Hub) -> None:
    shown = Shown(hub)
    shown.hand("hold", i=1)
    shown.grips[1].update(left=3.3, right=5.3)
    live.configure({"rois": {**live.rois.settings.rois, "a": Roi(x0=0, y0=0, x1=1, y1=1)}})
    shown.regions.refresh(SETTINGS)
    assert (shown.grips[1].left, shown.grips[0].left) == (3.3, 1)
    shown.hand("drop", i=1, left=4.3, right=6.3, top=3, bottom=6)
    assert shown.edges == {"b": (4, 3, 6, 6), "a": (0, 0, 1, 1)}


def test_a_second_one_is_held_before_the_first_has_come_to_rest(hub: Hub) -> None:
    shown = Shown(hub)
    shown.session.is_waiting = True
    shown.drag(0, 2, 3, 10, 11)
    shown.hand("hold", i=1)
    shown.grips[1].update(left=3.3)
    shown.session.waiting.pop(0)()
    shown.regions.refresh(SETTINGS)
    assert shown.grips[1].left == 3.3


def test_a_new_one_is_cut_off_at_the_edge_of_the_image(live: LiveAnalysis, hub: Hub) -> None:
    seen(live, shape=(12, 16))
    shown = Shown(hub)
    shown.do("new")
    assert shown.regions.view.is_drawing
    assert not any(grip.editable for grip in shown.grips)
    shown.do("draw", left=10.2, right=40.0, top=9.8, bottom=3.1)
    assert live.rois.settings.rois["ROI 1"] == Roi(x0=10, y0=3, x1=16, y1=10)
    assert shown.regions.selected == "ROI 1"
    assert not shown.regions.view.is_drawing
    assert all(grip.editable for grip in shown.grips)


def test_what_is_chosen_stays_chosen_until_it_is_gone(live: LiveAnalysis, hub: Hub) -> None:
    one, other = Shown(hub), Shown(hub)
    one.do("select", name="b")
    other.do("rename", name="a", value="c")
    one.regions.refresh(SETTINGS)
    assert (one.regions.selected, one.names) == ("b", ["c", "b"])
    assert other.regions.selected == "c"
    one.do("copy")
    assert one.regions.selected == "ROI 1"
    one.do("delete")
    assert one.regions.selected is None
    assert list(live.rois.settings.rois) == ["c", "b"]


def test_two_browsers_that_change_different_regions_at_once_lose_nothing(
    live: LiveAnalysis, hub: Hub
) -> None:
    one, other = Shown(hub), Shown(hub)
    one.do("select", name="a")
    other.do("select", name="b")
    n = 50
    begin = threading.Barrier(2)

    def shift(shown: Shown) -> None:
        begin.wait()
        for _ in range(n):
            shown.regions.do({"deed": "shift", "dx": 1, "dy": 0})

    threads = [threading.Thread(target=shift, args=(shown,)) for shown in (one, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: roi.x0 for name, roi in live.rois.settings.rois.items()} == {
        "a": 1 + n, "b": 3 + n
    }  # fmt: skip


def test_keys_that_are_pressed_while_a_shot_is_analysed_are_gathered(
    live: LiveAnalysis, hub: Hub
) -> None:
    shown = Shown(hub)
    shown.do("select", name="b")
    shown.session.is_waiting = True
    for _ in range(10):
        shown.hand("shift", dx=1, dy=0)
    shown.hand("shift", dx=0, dy=10)
    assert len(shown.session.waiting) == 1
    shown.session.waiting.pop()()
    assert live.rois.settings.rois["b"] == Roi(x0=13, y0=13, x1=15, y1=16)


def test_a_click_chooses_the_smallest_region_there(hub: Hub) -> None:
    from bokeh.events import Tap

    shown = Shown(hub)
    for x, y, name in ((4, 4, "b"), (2, 4, "a"), (50, 50, None)):
        shown.figure._trigger_event(Tap(shown.figure, x=x, y=y))
        assert shown.regions.selected == name


def test_why_a_region_is_left_out_stands_in_the_list(live: LiveAnalysis, hub: Hub) -> None:
    live.configure(
        {"rois": {"far": Roi(x0=10, y0=10, x1=30, y1=40), "b": Roi(x0=0, y0=0, x1=2, y1=2)}}
    )
    seen(live, shape=(12, 16))
    shown = Shown(hub)
    shown.regions.refresh(SETTINGS)
    far, b = shown.regions.view.rows
    assert "reaches outside the frames of 'pilatus', which have 16 columns" in far["note"]
    assert b["note"] == ""
    assert shown.regions.view.numbers["far"]["mean"] == "-"
    assert shown.regions.view.numbers["b"]["n"] == "4"


def test_the_numbers_are_those_of_the_detector_that_is_shown(live: LiveAnalysis, hub: Hub) -> None:
    live.configure({"rois": {"b": Roi(x0=0, y0=0, x1=2, y1=2)}})
    seen(live, ("one", "other"), shape=(12, 16))
    shown = Shown(hub)
    session, numbers = shown.session, lambda: shown.regions.view.numbers
    shown.regions.refresh(SETTINGS)
    of_one = numbers()
    assert of_one["b"]["n"] == "4"
    session.is_waiting = True
    session.choose(detector="other")
    shown.regions.refresh(SETTINGS)
    assert numbers() == {}
    # what was looked at for the other comes too late
    session.choose(detector="one")
    session.is_waiting = False
    session.waiting.pop()()
    assert numbers() == {}
    shown.regions.refresh(SETTINGS)
    assert numbers() == of_one


def test_a_file_of_regions_is_taken_in(live: LiveAnalysis, hub: Hub) -> None:
    shown = Shown(hub)
    text = b'{"b": {"x0": 0, "y0": 0, "x1": 2, "y1": 2}}'
    shown.do("load", name="mine.json", data=base64.b64encode(text).decode())
    assert live.rois.settings.rois == {
        "a": Roi(x0=1, y0=2, x1=9, y1=10), "b": Roi(x0=0, y0=0, x1=2, y1=2)
    }  # fmt: skip
    shown.do("load", name="mine.json", data=base64.b64encode(b" " * 1_000_001).decode())
    assert "mine.json has 1000001 bytes" in shown.session.said[-1]
    # browsers do not even send one that is larger
    shown.do("load", name="mine.json", data="", size=10**9)
    assert "mine.json has 1000000000 bytes" in shown.session.said[-1]


def test_many_new_regions_are_one_change_of_the_document(
    live: LiveAnalysis, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = Shown(hub)
    shown.session.doc.add_root(shown.figure)
    n_gone_through, models = [], shown.session.doc.models
    monkeypatch.setattr(models, "recompute", lambda: n_gone_through.append(0))
    live.configure({"rois": {f"r{x}": Roi(x0=x, y0=0, x1=x + 1, y1=1) for x in range(10)}})
    shown.regions.refresh(SETTINGS)
    assert len(shown.grips) == 10
    assert len(n_gone_through) == 1


def test_who_may_only_read_can_only_choose(live: LiveAnalysis, hub: Hub) -> None:
    shown = Shown(hub, may_change=False)
    before = dict(live.rois.settings.rois)
    shown.do("select", name="b")
    assert shown.regions.selected == "b"
    shown.do("new")
    assert not shown.regions.view.is_drawing
    assert shown.regions.view.is_locked
    assert not any(grip.editable for grip in shown.grips)
    for deed in ({"deed": "delete"}, {"deed": "shift", "dx": 1, "dy": 0}, {"deed": "copy"}):
        shown.do(**deed)  # type: ignore[arg-type]
        assert "may read only" in shown.session.said.pop()
    assert live.rois.settings.rois == before


def test_colours_are_given_by_the_order_and_are_all_different() -> None:
    names = [f"ROI {i}" for i in range(10)]
    colours = region_colours(names)
    assert list(colours.values())[: len(COLOURS)] == list(COLOURS)
    # more of them have colours of their own too
    many = region_colours(map(str, range(40))).values()
    assert len(set(many)) == 40
    assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in many)
    assert region_colours(names[:3]) == {name: colours[name] for name in names[:3]}
    assert len(set(COLOURS)) == len(COLOURS)


def test_another_detector_is_looked_at_once_on_a_display_that_stands_still(
    live: LiveAnalysis, hub: Hub
) -> None:
    for detector in ("one", "other"):
        live.update(Shot("run", 0, 0, detector, DenseFrame(np.ones((20, 30), np.float32))))
    shown = Shown(hub)
    shown.session.choose(is_paused=True)
    for detector, mean in (("one", "1"), ("other", "1")):
        shown.session.choose(detector=detector)
        shown.regions.refresh(SETTINGS)
        assert shown.regions.view.numbers["a"]["mean"] == mean
        live.update(Shot("run", 0, 1, detector, DenseFrame(np.ones((20, 30), np.float32))))
        shown.regions.refresh(SETTINGS)
        assert shown.regions.view.numbers["a"]["mean"] == mean
