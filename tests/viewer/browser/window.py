"""A window on the page: what somebody sees, and what somebody does."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from playwright.async_api import (
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    Response,
    WebSocket,
)

from tests.viewer.browser.chromium import Chromium
from tests.viewer.browser.figure import Figure
from tests.viewer.browser.waiting import PATIENCE_S, until

FIELDS = "input, textarea, select, button"

TEXTS = """elements => {
    const seen = node => {
        if (node.nodeType == Node.TEXT_NODE) return node.textContent
        if (node.nodeType == Node.ELEMENT_NODE) {
            if (["STYLE", "SCRIPT", "LINK", "TEMPLATE"].includes(node.tagName)) return ""
            const style = getComputedStyle(node)
            if (style.display == "none" || style.visibility == "hidden") return ""
        }
        const within = [...(node.shadowRoot ?? node).childNodes].map(seen)
        return within.join(node.shadowRoot ? " " : "")
    }
    return elements.map(e => seen(e).replace(/\\s+/g, " ").trim())
}"""
"""innerText ends where a shadow root begins, and all of Bokeh is within such."""


class Window:
    """One window of one browser, and all that went wrong in it.

    `n_received` are the parts of messages that have come through its websockets.

    Places are CSS selectors (`.fb-start`), which reach into shadow roots, and mean the first that
    fits. Everything waits until it can be done, and never longer than `PATIENCE_S`.
    """

    def __init__(self, chromium: Chromium, context: BrowserContext, address: str) -> None:
        self._chromium, self._context = chromium, context
        self.address = address
        self.problems: list[str] = []
        self.sockets: list[WebSocket] = []
        self.n_received = 0
        self._allowed: list[str] = []
        self._is_closed = False
        self.page: Page = chromium.do(self._listened_to())

    def do(self, action: Callable[[Page], Coroutine[Any, Any, Any]]) -> Any:
        """Anything that playwright can: `window.do(lambda page: page.go_back())`."""
        return self._chromium.do(action(self.page), 2 * PATIENCE_S)

    def open(self, path: str = "") -> Self:
        """Go to the page, and wait until it is there and connected."""
        reply = self.do(lambda page: page.goto(self.address + path))
        assert reply.status < 400, f"{self.address}{path} answers with {reply.status}"
        return self.wait_until_idle()

    def reload(self) -> Self:
        """Load the page anew."""
        self.do(lambda page: page.reload())
        return self.wait_until_idle()

    def wait_until_idle(self) -> Self:
        """Until Bokeh has drawn all that it was sent."""
        is_idle = (
            "() => window.Bokeh?.documents?.length > 0 && Bokeh.documents.every(d => d.is_idle)"
        )
        self.do(lambda page: page.wait_for_function(is_idle))
        return self

    # what is seen

    def run(self, script: str, value: Any = None) -> Any:
        """What a function of JavaScript returns: `window.run("() => document.title")`."""
        return self.do(lambda page: page.evaluate(script, value))

    def count(self, place: str) -> int:
        """How many elements there are."""
        return self.do(lambda page: page.locator(place).count())

    def texts(self, place: str) -> list[str]:
        """The text of each element there is now, in one line, without what is hidden."""
        return self.do(lambda page: page.locator(place).evaluate_all(TEXTS))

    def text(self, place: str) -> str:
        """The text of an element, once it is there."""
        self.do(lambda page: page.locator(place).first.wait_for(state="attached"))
        return self.texts(place)[0]

    def value(self, place: str) -> str:
        """What stands in a field, once it is there."""
        return self.do(lambda page: self._field(place).input_value())

    def is_visible(self, place: str) -> bool:
        """Whether an element is seen now."""
        return self.do(lambda page: page.locator(place).first.is_visible())

    def is_enabled(self, place: str) -> bool:
        """Whether a field or a button can be used."""
        return self.do(lambda page: self._field(place).is_enabled())

    def until(self, condition: Callable[[], Any], words: str) -> Any:
        """What a condition gives as soon as it counts as true; see `waiting.until`."""
        return until(condition, words, found=lambda: self.problems)

    def until_text(self, place: str, pattern: str) -> str:
        """The text of an element as soon as a regular expression is found in it."""
        return until(
            lambda: next((t for t in self.texts(place) if re.search(pattern, t)), ""),
            f"{place} shows {pattern!r}",
            found=lambda: self.texts(place),
        )

    def until_value(self, place: str, pattern: str) -> str:
        """What stands in a field as soon as a regular expression fits all of it."""
        return until(
            lambda: next((v for v in [self.value(place)] if re.fullmatch(pattern, v)), ""),
            f"{place} holds {pattern!r}",
            found=lambda: self.value(place),
        )

    def figure(self, name: str) -> Figure:
        """A figure of Bokeh by its name, once it is drawn."""
        return Figure(self, name)

    def picture(self, path: Path) -> Path:
        """Write what is seen as PNG."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.do(lambda page: page.screenshot(path=path))
        return path

    # what is done

    def click(self, place: str, **how: Any) -> None:
        """Click on an element; on the button or the field in it, where there is one."""

        async def click(page: Page) -> None:
            await (await self._target(place)).click(**how)

        self.do(click)

    def fill(self, place: str, text: str, *, enter: bool = True) -> None:
        """Type into a field in place of what stands there, and press Enter."""

        async def fill(page: Page) -> None:
            field = self._field(place)
            await field.fill(text)
            if enter:
                await field.press("Enter")

        self.do(fill)

    def choose(self, place: str, label: str) -> None:
        """Choose from a list by what is read there."""
        self.do(lambda page: self._field(place).select_option(label=label))

    def press(self, keys: str, place: str | None = None) -> None:
        """Press keys ("Control+z"), wherever the cursor is or in a place."""
        if place is None:
            self.do(lambda page: page.keyboard.press(keys))
        else:
            self.do(lambda page: self._press(place, keys))

    def upload(self, place: str, path: Path) -> None:
        """Give a file to a field."""
        self.do(lambda page: page.locator(f"{place} input[type=file]").first.set_input_files(path))

    def download(self, place: str) -> tuple[str, bytes]:
        """The name and the contents of the file that a click brings."""

        async def download(page: Page) -> tuple[str, bytes]:
            async with page.expect_download() as coming:
                await (await self._target(place)).click()
            file = await coming.value
            path = await file.path()
            return file.suggested_filename, path.read_bytes()

        return self.do(download)

    def close(self) -> None:
        """Close the window and its browser; what goes wrong in a page that ends does not count."""
        self._is_closed = True
        self._chromium.do(self._context.close())

    # what went wrong

    def allow(self, pattern: str) -> None:
        """Let a problem count as none: a regular expression that is found in it."""
        self._allowed.append(pattern)

    def assert_clean(self) -> None:
        """Raise `AssertionError` where anything has gone wrong that was not allowed."""
        left = [
            problem
            for problem in self.problems
            if not any(re.search(pattern, problem) for pattern in self._allowed)
        ]
        assert not left, "\n".join(["in the window:", *left])

    async def _listened_to(self) -> Page:
        page = await self._context.new_page()
        page.set_default_timeout(PATIENCE_S * 1e3)
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self._note(f"error in the page: {error}"))
        page.on("crash", lambda _: self._note("the page has crashed"))
        page.on("request", lambda request: self._check_place(request.url))
        page.on("requestfailed", self._on_failure)
        page.on("response", self._on_response)
        page.on("websocket", self._on_socket)
        return page

    async def _press(self, place: str, keys: str) -> None:
        await (await self._target(place)).press(keys)

    def _field(self, place: str) -> Locator:
        """The first field or button in a place, or the place itself if it is one."""
        found, fields = self.page.locator(place), self.page.locator(FIELDS)
        return found.locator(FIELDS).or_(found.and_(fields)).first

    async def _target(self, place: str) -> Locator:
        """The field or button in a place, or the place where there is none in it."""
        await self.page.locator(place).first.wait_for(state="attached")
        field = self._field(place)
        return field if await field.count() else self.page.locator(place).first

    def _note(self, problem: str) -> None:
        if not self._is_closed:
            self.problems.append(problem)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            where = message.location.get("url", "")
            self._note(f"error in the console: {message.text} ({where})")

    def _on_failure(self, request: Request) -> None:
        # who leaves a page breaks off what was being loaded
        if request.failure != "net::ERR_ABORTED":
            self._note(f"request failed: {request.url} ({request.failure})")

    def _on_response(self, response: Response) -> None:
        if response.status >= 400:
            self._note(f"answered with {response.status}: {response.url}")

    def _on_socket(self, socket: WebSocket) -> None:
        self._check_place(socket.url)
        self.sockets.append(socket)
        socket.on("framereceived", self._on_frame)

    def _on_frame(self, _: object) -> None:
        self.n_received += 1

    def _check_place(self, url: str) -> None:
        parts = urlsplit(url)
        ours = parts.netloc == urlsplit(self.address).netloc
        if not ours and parts.scheme not in ("data", "blob", "about"):
            self._note(f"asked elsewhere: {url}")
