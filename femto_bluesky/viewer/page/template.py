"""The HTML around the parts of the page, with its styles and scripts."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from femto_bluesky.viewer.page.assets import asset

ICON: Final = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Crect width='16' height='16' rx='3' fill='%23123'/%3E%3Cg fill='none' stroke='%234cb5e0'%3E"
    "%3Ccircle cx='8' cy='8' r='5.5'/%3E%3Ccircle cx='8' cy='8' r='2.5'/%3E%3C/g%3E%3C/svg%3E"
)
"""Rings, as the browser's tab shows them."""

FILES: Final = {
    "style": "style.css",
    "look": "look.css",
    "connection": "connection.js",
    "browser": "browser.js",
}
"""What `page.html` has in it, by the names there."""


def filled(**parts: Any) -> Any:
    """The page as a Panel template, with a part at each of its places."""
    page = _kind()(asset("page.html"))
    page.add_variable("app_favicon", ICON)
    page.add_variable("apple_icon", ICON)
    for name, file in FILES.items():
        page.add_variable(name, asset(file))
    for name, part in parts.items():
        page.add_panel(name, part)
    return page


@cache
def _kind() -> type[Any]:
    import panel as pn

    class Page(pn.Template):
        def __repr__(self) -> str:
            # Panel writes it for each part that is added, and its own goes through all widgets:
            # a seventh of the time that it takes to open the page
            return "the page"

    return Page
