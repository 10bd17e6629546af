"""One picture at a time."""

from __future__ import annotations

from femto_bluesky.viewer.page.flow import PATIENCE_S, Flow


def test_only_what_is_wanted_is_made() -> None:
    assert not Flow().begin(0)


def test_one_at_a_time_and_the_newest_only() -> None:
    flow = Flow()
    for _ in range(5):
        flow.want()
    assert flow.begin(0)
    flow.want()
    assert not flow.begin(0)  # one is being made
    flow.sent(1, 0)
    flow.want()
    assert not flow.begin(0.1)  # one is on its way
    assert flow.shown(1)
    assert flow.begin(0.2)
    flow.sent(2, 0.2)
    assert flow.shown(2)
    assert not flow.begin(0.3)


def test_where_there_was_nothing_to_be_sent_the_next_one_is_tried() -> None:
    flow = Flow()
    flow.want()
    assert flow.begin(0)
    flow.nothing()
    assert not flow.begin(0)
    flow.want()
    assert flow.begin(0)


def test_a_picture_that_was_lost_does_not_stop_the_others() -> None:
    flow = Flow()
    flow.want()
    assert flow.begin(0)
    flow.sent(1, 0)
    flow.want()
    assert not flow.begin(PATIENCE_S - 0.01)
    assert not flow.has_lost
    assert flow.begin(PATIENCE_S)
    assert flow.has_lost
    flow.sent(2, PATIENCE_S)
    assert not flow.shown(1)  # it comes late: the other one is still on its way
    flow.want()
    assert not flow.begin(PATIENCE_S)
    assert flow.shown(2)


def test_what_the_browser_could_make_nothing_of_is_sent_again() -> None:
    flow = Flow()
    flow.want()
    assert flow.begin(0)
    flow.sent(1, 0)
    flow.lost()
    assert flow.begin(0)
