"""A beamline, a page and browsers that look at it, for `bench_live_image.py`."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.model.detectors import settings_of
from femto_bluesky.model.shots import DenseFrame, Shot
from femto_bluesky.simulation.photons import BalorFrames, BalorSettings
from femto_bluesky.viewer.page.image import ImageFigure

DETECTOR = "andor3_balor"
RATE_HZ = 10.0
SIZE = {"width": 1760, "height": 1040}
"""Of the window. The canvas of the image is some 780 x 830 pixels."""

WATCH = """
    // before the page's own scripts: what comes through the websocket is counted
    window.benchBytes = 0; window.benchPainted = [];
    const Plain = window.WebSocket;
    window.WebSocket = class extends Plain {
        constructor(...given) {
            super(...given);
            this.addEventListener("message", (event) => {
                window.benchBytes += event.data.byteLength ?? event.data.length;
            });
        }
    };
"""

HIDE = """
    Object.defineProperty(document, "visibilityState", {get: () => "hidden"});
    window.requestAnimationFrame = () => 0;
"""

FOLLOW = """() => {
    const back = Bokeh.documents[0].get_model_by_name("image").tags[1];
    back.properties.data.change.connect(() => {
        window.benchPainted.push([back.data.painted[0], Date.now()]);
    });
}"""

ZOOM = """part => {
    const figure = Bokeh.documents[0].get_model_by_name("image");
    for (const range of [figure.x_range, figure.y_range]) {
        const centre = (range.start + range.end) / 2;
        const half = (range.end - range.start) * part / 2;
        range.setv({start: centre - half, end: centre + half});
    }
}"""


SHAPE = (4104, 4128)
N_MORE_ROWS = 1500


def tall_frame() -> NDArray[Any]:
    """A frame with more rows than a Balor has: any 4104 of them are a frame with 20 000 photons."""
    shape = (SHAPE[0] + N_MORE_ROWS, SHAPE[1])
    n_photons = 20_000 * shape[0] / SHAPE[0]
    return BalorFrames(BalorSettings(shape=shape, n_photons=n_photons, n_hot_pixels=200))(0, 0.0)


class Scan(threading.Thread):
    """Shots at a steady rate, in a thread as the RunEngine's is one; the analysis counts photons.

    `seen_at` is when the sum of so many frames was whole, `took_s` what each shot took.
    """

    def __init__(self, live: LiveAnalysis, tall: NDArray[Any]) -> None:
        super().__init__(name="scan", daemon=True)
        self._live, self._tall, self._known = live, tall, settings_of(DETECTOR)
        self._rng = np.random.default_rng(0)
        self._is_ending = threading.Event()
        self.n = 0
        self.seen_at: dict[int, float] = {}
        self.took_s: list[float] = []
        self.cpu_s = 0.0

    def run(self) -> None:
        """Shot after shot, each at its time."""
        due = time.monotonic()
        while not self._is_ending.wait(max(0.0, due - time.monotonic())):
            due = max(due + 1 / RATE_HZ, time.monotonic())  # what was missed is not made up for
            self.shot()

    def shot(self) -> None:
        """One shot."""
        top = int(self._rng.integers(N_MORE_ROWS))
        frame = DenseFrame(self._tall[top : top + SHAPE[0]])  # photons elsewhere each time
        shot = Shot("run", 0, self.n, DETECTOR, frame, known=self._known, time=time.time())
        begun, cpu = time.perf_counter(), time.thread_time()
        with self._live.shell.lock:
            self._live.update(shot)
        self._live.shell.pulse.shot(shot.time)
        self.took_s.append(time.perf_counter() - begun)
        self.cpu_s += time.thread_time() - cpu
        self.n += 1
        self.seen_at[self.n] = time.time()

    def end(self) -> None:
        """Let the last shot be the last."""
        self._is_ending.set()
        self.join()


class Seen(NamedTuple):
    """What was measured while browsers looked on."""

    updates_hz: float
    painted_ms: float
    cpu_ms: float
    wire_kb: float
    shots_hz: float
    shot_ms: float
    """CPU time of one shot in the thread of the scan."""

    def __str__(self) -> str:
        return (
            f"{self.updates_hz:.1f} updates/s, painted {self.painted_ms:.0f} ms after the shot, "
            f"{self.cpu_ms:.1f} ms of server CPU and {self.wire_kb:.0f} kB an update"
        )


@contextmanager
def noted() -> Iterator[dict[int, int]]:
    """Of how many frames each picture is that is sent to a browser, by its number."""
    of_picture: dict[int, int] = {}
    send = ImageFigure._send

    def noting(self: ImageFigure, made: Any) -> None:
        if made is not None:
            of_picture[made[0].number] = made[0].n_frames
        send(self, made)

    ImageFigure._send = noting  # type: ignore[method-assign]
    try:
        yield of_picture
    finally:
        ImageFigure._send = send  # type: ignore[method-assign]


def watched(
    scan: Scan, run: Any, of_picture: dict[int, int], seconds: float, n_windows: int = 1
) -> Seen:
    """Look on for some seconds; `run` has a window run a script and gives the result."""
    run("() => { window.benchPainted = []; window.benchBytes = 0; }")
    n_shots, scan_cpu, cpu = scan.n, scan.cpu_s, time.process_time()
    begun = time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - begun
    n_shots, scan_cpu = scan.n - n_shots, scan.cpu_s - scan_cpu
    cpu = time.process_time() - cpu - scan_cpu
    painted, n_bytes = run("() => [window.benchPainted, window.benchBytes]")
    first: dict[int, float] = {}
    for number, at in painted:
        if number in of_picture:
            first.setdefault(number, at / 1e3)
    delays = [at - scan.seen_at[of_picture[number]] for number, at in first.items()]
    n = max(1, len(first))
    return Seen(
        len(first) / took,
        1e3 * median(delays or [np.nan]),
        1e3 * cpu / (n * n_windows),
        n_bytes / n / 1e3,
        n_shots / took,
        1e3 * scan_cpu / max(1, n_shots),
    )


def naive_page(live: LiveAnalysis, of_picture: dict[int, int]) -> Any:
    """A page as one would write it: the whole sum is the data of an image, after each shot.

    It is kinder than that: the next one is sent when the browser has drawn the one before.
    """
    import panel as pn
    from bokeh.models import ColumnDataSource, CustomJS
    from bokeh.plotting import figure
    from panel.io.fastapi import add_applications

    def page() -> Any:
        made = figure(
            width=1050, height=990, name="image", x_range=(0, SHAPE[1]), y_range=(SHAPE[0], 0)
        )
        nothing = np.zeros((2, 2), np.float32)
        source = ColumnDataSource({"image": [nothing], "n": [0]})
        back = ColumnDataSource({"painted": [0]})
        made.image("image", x=0, y=0, dw=SHAPE[1], dh=SHAPE[0], source=source, palette="Viridis256")
        made.tags = [source, back]
        source.js_on_change(
            "data",
            CustomJS(
                args={"source": source, "back": back},
                code="""
                    const n = source.data.n[0];
                    requestAnimationFrame(() => requestAnimationFrame(() => {
                        back.data = {painted: [n]};
                    }));
                """,
            ),
        )

        def send() -> None:
            sums = live.accumulation(DETECTOR)
            n = sums.n_changes
            seen = sums.look()
            if seen is not None and source.data["n"][0] == back.data["painted"][0] != n:
                of_picture[n] = seen.n_frames
                image = np.log1p(seen.image).astype(np.float32)
                source.data = {"image": [image], "n": [n]}

        pn.state.onload(lambda: pn.state.add_periodic_callback(send, 20))
        return pn.pane.Bokeh(made)

    from fastapi import FastAPI

    app = FastAPI()
    add_applications({"/": page}, app=app)
    return app
