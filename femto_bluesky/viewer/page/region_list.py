"""The list of regions beside the image, as a component of its own in the browser."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from femto_bluesky.viewer.page.assets import asset


def region_list(on_deed: Callable[[Mapping[str, Any]], None]) -> Any:
    """A list that tells what is done in it; `deed` is the name of that.

    `select`, `rename` (to `value`), `change` (an `edge` to `value`) and `put` (on a `detector`, or
    on all: "") with the `name` of a region; `new`, `cancel`, `copy`, `delete`, `save`; `load` with
    the `name` of a file and its `data` in base 64. It shows `rows` (`name`, `colour`, `x0`, `y0`,
    `x1`, `y1`, `detector`, `note`, `is_off`), `numbers` (texts by names of regions), the name
    `selected` and the `detectors` there are. When `n_shown` changes, fields show what is in `rows`.
    """
    found = _component()(css_classes=["fb-regions"], sizing_mode="stretch_width", margin=0)
    found.on_msg(lambda event: on_deed(event.data))
    return found


def download(shown: Any, name: str, text: str) -> None:
    """Give the browser that shows a list a file."""
    shown._send_msg({"name": name, "text": text})


@cache
def _component() -> Any:
    import param
    from panel.custom import JSComponent

    class RegionList(JSComponent):
        rows = param.List()
        numbers = param.Dict(default={})
        selected = param.String(default="")
        detectors = param.List()
        is_locked = param.Boolean(default=False)
        is_drawing = param.Boolean(default=False)
        n_shown = param.Integer(default=0)

        _esm = asset("region_list.js")
        _stylesheets = [asset("region_list.css")]  # noqa: RUF012

    return RegionList
