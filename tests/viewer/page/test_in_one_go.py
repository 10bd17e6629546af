"""Much of a document is changed in one go: its models are gone through once, then all is sent."""

from __future__ import annotations

from typing import Any

import pytest
from bokeh.document import Document
from bokeh.models import ColumnDataSource
from bokeh.plotting import figure

from femto_bluesky.viewer.page.in_one_go import in_one_go


@pytest.fixture
def shown() -> Any:
    shown: Any = figure(title="old")
    Document().add_root(shown)
    return shown


def test_models_are_gone_through_once(shown: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    n_gone_through = 0
    plain = type(shown.document.models).recompute

    def recompute(self: Any) -> None:
        nonlocal n_gone_through
        n_gone_through += 1
        plain(self)

    monkeypatch.setattr(type(shown.document.models), "recompute", recompute)
    with in_one_go(shown.document):
        for _ in range(5):
            shown.line("x", "y", source=ColumnDataSource({"x": [], "y": []}))
        with in_one_go(shown.document):
            shown.title.text = "new"
    assert n_gone_through == 1
    with in_one_go(shown.document):
        shown.title.text = "newer"
    assert n_gone_through == 1  # no model has come


def test_what_is_sent_of_a_new_model_is_what_it_is_at_the_end(shown: Any) -> None:
    sent: list[tuple[Any, str, bool]] = []
    doc = shown.document
    source = ColumnDataSource({"x": [], "y": []})

    def send(event: Any) -> None:
        sent.append((event.model, event.attr, source.document is doc))

    doc.on_change(send)
    with in_one_go(doc):
        shown.line("x", "y", source=source, name="first")
        source.data = {"x": [1], "y": [2]}
        shown.title.text = "new"
        assert sent == []
    assert [attr for _, attr, _ in sent] == ["renderers", "text"]
    assert all(is_there for *_, is_there in sent)
    source.data = {"x": [], "y": []}
    assert sent[-1][:2] == (source, "data")


def test_what_fails_leaves_the_document_as_any_other(shown: Any) -> None:
    doc = shown.document

    def fail() -> None:
        with in_one_go(doc):
            shown.line("x", "y", source=ColumnDataSource({"x": [], "y": []}), name="there")
            raise RuntimeError("no more")

    with pytest.raises(RuntimeError):
        fail()
    assert doc.callbacks.hold_value is None
    assert doc.get_model_by_name("there") is not None
