"""Whatever becomes of the server and its page, the scan and its analysis go on, and agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from femto_bluesky import Roi
from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.simulation.rings import RingFrames, RingSettings
from femto_bluesky.testing.runs import burst_scan, run_plan
from femto_bluesky.viewer import ResultsServer, hub, serve, snapshots
from tests.viewer.shown import ask

HTML = {"Accept": "text/html"}


def scanned(*callbacks: Callable[[str, Any], Any]) -> LiveAnalysis:
    """An analysis that has followed a scan, the callbacks being called before it."""
    frames = RingFrames(RingSettings(shape=(40, 60), x0=10.0, y0=20.0))
    delay = SimulatedMotor(name="delay", labels={"motors"})
    camera = SimulatedDetector(name="pilatus", source=frames, style="inline", motor=delay)
    live = LiveAnalysis({"ring": Roi(x0=0, y0=10, x1=30, y1=30)})
    started = [callback(live) for callback in callbacks]
    try:
        run_plan(burst_scan([camera], delay, [0, 1, 2, 3]), *(c for c, _ in started), live)
    finally:
        for _, server in started:
            server.close()
    return live


def same(one: LiveAnalysis, other: LiveAnalysis) -> bool:
    a, b = one.result(), other.result()
    ours = a.accumulated["pilatus"].image, b.accumulated["pilatus"].image
    return a.steps["pilatus_ring_mean"].tolist() == b.steps["pilatus_ring_mean"].tolist() and (
        np.array_equal(*ours, equal_nan=True)
    )


@pytest.fixture(scope="module")
def undisturbed() -> Iterator[LiveAnalysis]:
    return scanned()


# its sockets are left to the garbage collector then
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_thread_of_the_server_dies_during_a_scan(
    undisturbed: LiveAnalysis, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(counter: int) -> bool:
        raise RuntimeError("out of order")

    servers: list[ResultsServer] = []

    def deadly(live: LiveAnalysis) -> Any:
        server = serve(live, page=False)
        servers.append(server)

        def die(name: str, doc: Any) -> None:
            if name == "event" and doc["seq_num"] == 2:
                assert ask(server.address, "/health").status == 200
                server._server.on_tick = broken
                server._thread.join(20)
                assert not server._thread.is_alive()

        return die, server

    live = scanned(deadly)
    assert "the results server has ended" in caplog.text
    assert live.failures == []
    assert same(live, undisturbed)
    # and it is served again, where it was
    port = int(servers[0].address.split(":")[-1].rstrip("/"))
    with serve(live, port=port, page=False) as again:
        assert ask(again.address, "/health").json["status"] == "ok"


@pytest.mark.filterwarnings("ignore:.*HTTPServerRequest:DeprecationWarning")
def test_nothing_of_the_page_works_during_a_scan(
    undisturbed: LiveAnalysis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("out of order")

    monkeypatch.setattr("femto_bluesky.viewer.page.application.opened", broken)
    monkeypatch.setattr(hub.Hub, "_look", broken)
    monkeypatch.setattr(hub.Hub, "n_watchers", 1)
    monkeypatch.setattr(snapshots.Snapshots, "_curve_groups", broken)
    statuses: list[int] = []

    def asking(live: LiveAnalysis) -> Any:
        server = live.serve()

        def look(name: str, doc: Any) -> None:
            if name == "event":
                statuses.append(ask(server.address, "/", **HTML).status)
                server.snapshots.forget()
                server.snapshots.tree()
                statuses.append(ask(server.address, "/health").status)

        return look, server

    live = scanned(asking)
    assert statuses[1::2] == [200] * 4
    assert "out of order" in caplog.text
    assert live.failures == []
    assert same(live, undisturbed)
