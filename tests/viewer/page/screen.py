"""The other half of the image: a browser that draws what it is sent when it is told to."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.model.shots import DenseFrame, Shot
from femto_bluesky.viewer.page.image import ImageFigure


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Screen:
    """The other half: a browser that draws what it is sent when it is told to."""

    def __init__(self, image: ImageFigure) -> None:
        self.image = image
        self.codes: Any = None
        self.number = self.n = self.n_received = self.kind = 0
        self.title, self.units, self.is_blank = "", "", True
        self.ticks: dict[float, str] = {}
        image.wire.on_change("data", lambda attr, old, new: self._receive(new))

    def _receive(self, sent: dict[str, list[Any]]) -> None:
        self.title = sent["title"][0]
        self.is_blank = sent["number"] == [0]
        if self.is_blank:
            return
        self.n_received += 1
        self.ticks = dict(zip(sent["ticks"][0], sent["labels"][0], strict=True))
        self.units = sent["units"][0]
        codes = np.frombuffer(zlib.decompress(sent["bytes"][0].tobytes()), np.uint8)
        codes = codes.reshape(sent["rows"][0], sent["columns"][0])
        if sent["base"][0]:
            assert sent["base"][0] == self.number
            codes = codes ^ self.codes
        self.codes, self.number = codes, sent["number"][0]
        if sent["kind"][0] != self.kind:
            self.kind = sent["kind"][0]
            self.look_at(sent["all_columns"][0], sent["all_rows"][0])

    def look_at(self, width: float, height: float) -> None:
        """The upper left corner; row 0 is above."""
        self.image.figure.x_range.update(start=0, end=width)
        self.image.figure.y_range.update(start=height, end=0)

    def tick(self) -> None:
        """Have done what waits for the lock of the document."""
        doc = self.image._session.doc
        for waiting in list(doc.session_callbacks):
            doc.remove_next_tick_callback(waiting)
            waiting.callback()

    def say(self, painted: int | None = None, hidden: bool = False, size: float = 100.0) -> None:
        self.n += 1
        self.image.back.data = {
            "painted": [self.number if painted is None else painted], "width": [size],
            "height": [size], "hidden": [hidden], "n": [self.n],
        }  # fmt: skip
        self.tick()


def show(live: LiveAnalysis, value: float = 1, number: int = 0, detector: str = "det",
         shape: tuple[int, int] = (40, 50)) -> None:  # fmt: skip
    pixels = np.zeros(shape, np.float32)
    pixels[3, 4] = value
    live.update(Shot("run", 0, number, detector, DenseFrame(pixels)))
