from __future__ import annotations

import logging

from femto_bluesky.stream.subscribers import Subscribers


def test_documents_are_sent_by_name_and_in_order():
    subscribers, got = Subscribers(), []
    first = subscribers.subscribe(lambda name, doc: got.append(("all", name, doc["n"])))
    subscribers.subscribe(lambda name, doc: got.append(("event", name, doc["n"])), "event")
    subscribers.send("start", {"n": 1})
    subscribers.send("event", {"n": 2})
    assert got == [("all", "start", 1), ("all", "event", 2), ("event", "event", 2)]
    subscribers.unsubscribe(first)
    subscribers.unsubscribe(first)  # a second time does nothing
    subscribers.send("event", {"n": 3})
    assert got[3:] == [("event", "event", 3)]
    assert subscribers.subscribe(print) != first


def test_one_that_raises_keeps_nothing_from_the_others(caplog):
    subscribers, got = Subscribers(), []

    def broken(name, doc):
        got.append("broken")
        raise RuntimeError("no display")

    subscribers.subscribe(broken)
    subscribers.subscribe(lambda name, doc: got.append(name))
    with caplog.at_level(logging.ERROR):
        for name in ("start", "event", "stop"):
            subscribers.send(name, {})
    assert got == ["broken", "start", "broken", "event", "broken", "stop"]
    assert len(caplog.records) == 1, "said once a run"
    assert "failed on a start document of a derived run" in caplog.text
    assert "no display" in caplog.text
    subscribers.send("start", {})
    assert len(caplog.records) == 2, "and again in the next"


def test_one_may_unsubscribe_while_it_is_called():
    subscribers, got = Subscribers(), []

    def once(name, doc):
        got.append(name)
        subscribers.unsubscribe(token)

    token = subscribers.subscribe(once)
    subscribers.subscribe(lambda name, doc: got.append("other"))
    subscribers.send("start", {})
    subscribers.send("stop", {})
    assert got == ["start", "other", "other"]
