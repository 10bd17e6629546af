"""A figure of Bokeh in a window, in the coordinates of its data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from playwright.async_api import Page

from tests.viewer.browser.waiting import until

if TYPE_CHECKING:
    from tests.viewer.browser.window import Window

FIND = """
    const models = Bokeh.documents.map(d => d.get_model_by_name(name)).filter(m => m != null)
    const view = models.length ? Bokeh.index.find_one(models[0]) : null
    const model = models[0]
"""

STATE = f"""name => {{ {FIND}
    if (view == null || view.frame.bbox.width <= 0) return null
    const inner = view.frame.bbox
    const canvas = view.canvas_view.el.getBoundingClientRect()
    const range = r => [r.start, r.end]
    return {{
        x_range: range(model.x_range), y_range: range(model.y_range),
        left: canvas.left + inner.left, top: canvas.top + inner.top,
        width: inner.width, height: inner.height, title: model.title?.text ?? "",
    }} }}"""

ON_SCREEN = f"""([name, x, y]) => {{ {FIND}
    const canvas = view.canvas_view.el.getBoundingClientRect()
    return [canvas.left + view.frame.x_scale.compute(x), canvas.top + view.frame.y_scale.compute(y)]
}}"""

COLUMNS = f"""([name, glyph]) => {{ {FIND}
    const found = model.renderers.find(r => r.name == glyph)
    if (found == null) return null
    const columns = {{}}
    for (const [key, value] of Object.entries(Object.fromEntries(
        found.data_source.data instanceof Map ? found.data_source.data
        : Object.entries(found.data_source.data))))
        columns[key] = Array.from(value, v => ArrayBuffer.isView(v) ? Array.from(v) : v)
    return columns
}}"""


class Figure:
    """A figure by the name of its model; `name` is given in Python: `figure(name="image")`."""

    def __init__(self, window: Window, name: str) -> None:
        self.window, self.name = window, name
        window.until(self._state, f"the figure {name!r} is drawn")

    @property
    def title(self) -> str:
        """The title."""
        return self._now()["title"]

    @property
    def x_range(self) -> tuple[float, float]:
        """Where the visible region begins and ends, from left to right."""
        start, end = self._now()["x_range"]
        return start, end

    @property
    def y_range(self) -> tuple[float, float]:
        """Where the visible region begins and ends, from the bottom to the top."""
        start, end = self._now()["y_range"]
        return start, end

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of what lies within the axes, in pixels of the screen."""
        state = self._now()
        return state["width"], state["height"]

    def columns(self, renderer: str) -> dict[str, list[Any]] | None:
        """The data of a renderer by its name, as the browser has them; None where there is none."""
        return self.window.run(COLUMNS, [self.name, renderer])

    def until_title(self, *words: str) -> str:
        """The title as soon as it holds all these words."""
        return until(
            lambda: (title := self.title) if all(word in self.title for word in words) else "",
            f"the title of {self.name!r} holds {words}",
            found=lambda: self.title,
        )

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the data is in the window."""
        left, top = self.window.run(ON_SCREEN, [self.name, x, y])
        return left, top

    def click(self, x: float, y: float, **how: Any) -> None:
        """Click on a point of the data."""
        place = self.place(x, y)
        self.window.do(lambda page: page.mouse.click(*place, **how))

    def double_click(self, x: float, y: float) -> None:
        """Click twice."""
        place = self.place(x, y)
        self.window.do(lambda page: page.mouse.dblclick(*place))

    def hover(self, x: float, y: float) -> None:
        """Move the mouse to a point of the data."""
        place = self.place(x, y)
        self.window.do(lambda page: page.mouse.move(*place, steps=3))

    def wheel(self, x: float, y: float, delta: float) -> None:
        """Turn the wheel at a point of the data; below 0 is towards the image."""
        self.hover(x, y)
        self.window.do(lambda page: page.mouse.wheel(0, delta))

    def drag(
        self, start: Sequence[float], end: Sequence[float], *, keys: Sequence[str] = ()
    ) -> None:
        """Press the mouse at one point of the data, move, and let go at the other."""
        begin, finish = self.place(*start), self.place(*end)

        async def drag(page: Page) -> None:
            for key in keys:
                await page.keyboard.down(key)
            await page.mouse.move(*begin)
            await page.mouse.down()
            await page.mouse.move(*finish, steps=8)
            await page.mouse.up()
            for key in keys:
                await page.keyboard.up(key)

        self.window.do(drag)

    def _state(self) -> dict[str, Any] | None:
        return self.window.run(STATE, self.name)

    def _now(self) -> dict[str, Any]:
        return until(self._state, f"the figure {self.name!r} is there")
