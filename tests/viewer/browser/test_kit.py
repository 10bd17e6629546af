"""The tools of these tests: windows notice what goes wrong, figures are used by their data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.viewer import ResultsServer
from tests.viewer.browser.beam import POWDER_GEOMETRY, Beam, photons, powder
from tests.viewer.browser.window import Window


def small_page(heard: dict[str, Any]) -> Any:
    """A field, a button that says what was typed, and a figure to zoom."""
    import panel as pn
    from bokeh.plotting import figure
    from fastapi import FastAPI
    from panel.io.fastapi import add_applications

    def page() -> Any:
        field = pn.widgets.FloatInput(label="Energy", value=13.5, css_classes=["fb-energy"])
        button = pn.widgets.Button(label="Start", css_classes=["fb-start"])
        said = pn.pane.Str("nothing yet", css_classes=["fb-said"])
        plot = figure(
            name="image", title="Sum of 3", x_range=(0, 160), y_range=(120, 0), tools="box_zoom",
            active_drag="box_zoom", width=500, height=400,
        )  # fmt: skip
        plot.scatter([20, 80], [30, 60], name="points")
        button.on_click(lambda _: setattr(said, "object", f"{field.value} keV"))
        for edge in ("start", "end"):
            plot.x_range.on_change(edge, lambda name, _, new: heard.update({name: new}))
        return pn.Column(field, button, said, pn.pane.Bokeh(plot))

    app = FastAPI()
    app.get("/favicon.ico")(lambda: "")
    add_applications({"/": page}, app=app, title="small page")
    return app


def test_a_window(
    live: LiveAnalysis,
    started: Callable[..., ResultsServer],
    new_window: Callable[..., Window],
) -> None:
    heard: dict[str, Any] = {}
    window = new_window(started(live, page=small_page(heard)).address).open()
    assert window.value(".fb-energy") == "13.5"
    window.fill(".fb-energy", "12")
    window.click(".fb-start")
    window.until_text(".fb-said", "12 keV")
    plot = window.figure("image")
    assert plot.title == "Sum of 3"
    assert plot.columns("points") == {"x": [20, 80], "y": [30, 60]}
    plot.drag((20, 30), (100, 90))
    window.until(lambda: "end" in heard, "the zoom reaches the server")
    assert plot.x_range == pytest.approx((20, 100), abs=1)
    assert plot.y_range == pytest.approx((90, 30), abs=1)
    assert heard == pytest.approx({"start": 20, "end": 100}, abs=1)
    window.assert_clean()
    window.run("() => console.error('no good')")
    window.run("() => { fetch('http://192.0.2.1/tracker').catch(() => {}) }")
    window.run("() => fetch('/groups/nothing')")
    window.until(lambda: len(window.problems) >= 3, "three problems are noticed")
    with pytest.raises(AssertionError, match="no good"):
        window.assert_clean()
    found = " ".join(window.problems)
    assert "asked elsewhere: http://192.0.2.1/tracker" in found
    assert "answered with 404" in found
    window.allow("")


def test_a_beam() -> None:
    live = LiveAnalysis(geometries={"pilatus": POWDER_GEOMETRY}, photon_files=False)
    derived: list[dict[str, Any]] = []
    live.subscribe(lambda name, doc: derived.append(doc), "start")
    beam = Beam(live, {"pilatus": powder(), "andor3_balor": photons()})
    run = beam.scan((0.0, 1.0), n=2)
    assert live.failures == []
    assert derived[0]["original_run_uid"] == run
    found = live.result()
    assert found.steps["delay"].tolist() == [0.0, 1.0]
    assert {name: held.n_frames for name, held in found.accumulated.items()} == {
        "pilatus": 4, "andor3_balor": 4,
    }  # fmt: skip
    expected = powder()(0, 0.0) + powder()(1, 0.0) + powder()(2, 1.0) + powder()(3, 1.0)
    is_live = powder().is_live
    assert np.array_equal(found.accumulated["pilatus"].image[is_live], expected[is_live])
    assert found.photons
    # the rings are where the geometry has them
    curve = found.azimuthal["pilatus"]
    at_ring, beside = np.interp([1.51, 1.8], curve.q, curve.intensity)
    assert at_ring > 2 * beside
    with beam.going_on(rate_hz=1000) as thread:
        while len(thread.took_s) < 3:
            pass
    assert live.shell.pulse.open_runs == {}
    assert live.failures == []
