"""The sum's buttons and words, and the count of masked pixels, without a browser."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.model.shots import DenseFrame, Shot
from femto_bluesky.viewer.hub import Hub
from femto_bluesky.viewer.page.accumulating import AccumulatingPanel, in_words
from femto_bluesky.viewer.page.mask import MaskPanel
from tests.viewer.page.at_once import AtOnce

IMAGE = frozenset({"image"})
NOON = time.mktime((2026, 11, 23, 12, 0, 0, 0, 0, -1))


@pytest.fixture
def live() -> LiveAnalysis:
    return LiveAnalysis()


def show(
    live: LiveAnalysis, number: int, detector: str = "det", run: str = "run", n_masked: int = 0,
    shape: tuple[int, int] = (4, 5), at: float = NOON,
) -> None:  # fmt: skip
    mask = np.zeros(shape, np.bool_)
    mask.ravel()[:n_masked] = True
    frame = DenseFrame(np.ones(shape, np.uint32), mask if n_masked else None)
    live.update(
        Shot(run=run, number=number, step=0, detector=detector, frame=frame, position={}, time=at)
    )


def plain(lines: list[str]) -> list[str]:
    return [line.replace("</span>", "").split(">")[-1] for line in lines if "<b>" not in line]


class Buttons:
    """The panel as somebody sees it."""

    def __init__(self, hub: Hub, **rights: Any) -> None:
        self.session = AtOnce(hub, **rights)
        self.panel = AccumulatingPanel(self.session)

    @property
    def labels(self) -> tuple[str, bool, bool, bool]:
        """What the toggle says, and which of the three can be pressed."""
        found = self.panel._toggle, self.panel._reset, self.panel._undo
        self.panel.refresh(frozenset({"pulse"}))
        first, second, third = (not button.disabled for button in found)
        return found[0].label, first, second, third


def test_a_sum_is_stopped_begun_anew_and_brought_back(hub: Hub, live: LiveAnalysis) -> None:
    one, other = Buttons(hub), Buttons(hub)
    assert one.labels == ("Stop sum", False, False, False)
    show(live, 0)
    assert one.labels == ("Stop sum", True, True, False)
    one.panel._toggle.clicks += 1
    assert one.labels == other.labels == ("Start sum", True, True, False)
    show(live, 1)
    assert live.accumulation().extent.n_frames == 1
    # both press what they see: the sum is started once
    one.session.shortcuts.press("a")
    other.panel._toggle.label = "Start sum"
    other.session.shortcuts.press("a")
    assert one.labels == ("Stop sum", True, True, False)
    one.session.shortcuts.press("r")
    assert other.labels == ("Stop sum", True, True, True)
    assert live.accumulation().result() is None
    show(live, 2)
    other.session.shortcuts.press("u")
    assert one.labels == ("Stop sum", True, True, False)
    assert live.accumulation().extent.n_frames == 2
    with pytest.raises(ValueError, match="there is no reset to undo"):
        other.session.shortcuts.press("u")  # a session says it


def test_who_may_read_only_presses_nothing(hub: Hub, live: LiveAnalysis) -> None:
    show(live, 0)
    reader = Buttons(hub, may_change=False)
    assert reader.labels == ("Stop sum", False, False, False)
    reader.session.shortcuts.press("r")
    assert live.accumulation().extent.n_frames == 1


def test_each_detector_has_its_own_sum(hub: Hub, live: LiveAnalysis) -> None:
    show(live, 0)
    buttons = Buttons(hub)
    assert not buttons.panel._detector.visible
    show(live, 0, detector="other")
    assert buttons.labels[0] == "Stop sum"
    assert buttons.panel._detector.visible
    assert buttons.panel._detector.options == ["det", "other"]
    buttons.panel._detector.value = "other"
    assert buttons.session.detector == "other"
    buttons.session.shortcuts.press("a")
    assert buttons.labels[0] == "Start sum"
    buttons.session.choose(detector="det")
    assert buttons.labels[0] == "Stop sum"
    assert buttons.panel._detector.value == "det"
    # the general setting is of all
    live.configure({"accumulate": False})
    assert buttons.labels[0] == "Start sum"


def test_what_is_in_a_sum_in_words(live: LiveAnalysis) -> None:
    assert plain(in_words(None, NOON)) == ["no frames yet"]
    show(live, 0)
    show(live, 0, run="second", at=NOON + 60)
    found = live.accumulation()
    assert in_words(found, NOON + 99)[0] == "sum of <b>2 frames</b>, 2 runs"
    assert plain(in_words(found, NOON + 99)) == ["since 12:00:00"]
    assert plain(in_words(found, NOON + 86_400)) == ["since 2026-11-23 12:00"]
    found.stop()
    assert plain(in_words(found, NOON))[0] == "stopped: new frames are shown and not added"
    assert "kept" in in_words(found, NOON)[1]
    found.start()
    found.reset()
    assert plain(in_words(found, NOON)) == ["no frames in the sum", "reset by the user"]
    show(live, 1)
    show(live, 2, shape=(6, 5))
    assert plain(in_words(found, NOON))[-1] == (
        "4x5 frames of &#x27;det&#x27; were followed by 6x5 frames of &#x27;det&#x27;"
    )
    assert not found.can_undo


def test_masked_pixels_are_counted(hub: Hub, live: LiveAnalysis) -> None:
    session = AtOnce(hub)
    heard: list[bool] = []
    panel = MaskPanel(session, heard.append)
    panel.refresh(IMAGE)
    assert panel._told.view.object == ""
    show(live, 0, n_masked=3)
    panel.refresh(IMAGE)
    assert "3 of 20 px masked (15\u00a0%)" in panel._told.view.object
    # and not again before its time
    show(live, 1)
    panel.refresh(IMAGE)
    assert "3 of 20" in panel._told.view.object
    panel._due = 0.0
    panel.refresh(IMAGE)
    assert "0 of 20" in panel._told.view.object
    panel._show.value = True
    assert heard == [True]
