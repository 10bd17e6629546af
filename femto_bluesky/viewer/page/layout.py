"""Which parts the page has, and where they stand."""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Final

from femto_bluesky.viewer.page.header import Header
from femto_bluesky.viewer.page.session import Session

ICON: Final = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Crect width='16' height='16' rx='3' fill='%23123'/%3E%3Cg fill='none' stroke='%234cb5e0'%3E"
    "%3Ccircle cx='8' cy='8' r='5.5'/%3E%3Ccircle cx='8' cy='8' r='2.5'/%3E%3C/g%3E%3C/svg%3E"
)
"""Rings, as the browser's tab shows them."""


def laid_out(session: Session) -> Any:
    """The whole page of one browser, as a Panel template."""
    import panel as pn

    header = Header(session)
    session.parts += [header]
    here = files("femto_bluesky.viewer.page")
    page = pn.Template((here / "page.html").read_text())
    page.add_variable("app_favicon", ICON)
    page.add_variable("apple_icon", ICON)
    page.add_variable("style", (here / "style.css").read_text())
    page.add_variable("connection", (here / "connection.js").read_text())
    page.add_panel("header", header.view)
    page.add_panel("left", pn.Column())
    page.add_panel("centre", pn.Column())
    page.add_panel("right", pn.Column())
    return page
