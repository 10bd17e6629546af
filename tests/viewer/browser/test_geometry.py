"""The geometry in real browsers: typed, seen as rings at once, set for all, kept as a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from femto_bluesky import replay
from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.files.geometries import read_geometry, write_poni
from femto_bluesky.model.geometry import Geometry
from femto_bluesky.viewer import ResultsServer
from tests.viewer.browser.beam import POWDER_GEOMETRY, Beam
from tests.viewer.browser.window import Window

TYPED = {"energy-kev": "13.5", "distance-m": "0.02", "x0-px": "80.5", "y0-px": "60.5"}


@pytest.fixture
def live(tmp_path: Path) -> LiveAnalysis:
    return LiveAnalysis(directory=tmp_path / "results", photon_files=False)


def names(window: Window, renderer: str) -> list[Any]:
    columns = window.figure("image").columns(renderer)
    return [] if columns is None else columns["name"]


def geometry(live: LiveAnalysis) -> Geometry | None:
    return live.diffraction.geometry("pilatus")


def test_a_geometry_is_typed_seen_set_and_kept(
    live: LiveAnalysis, beam: Beam, window: Window, tmp_path: Path
) -> None:
    beam.scan()
    window.until_text(".fb-sum", "sum of 6 frames, 1 run.*")
    window.until_value(".fb-pixel-size-m", "172")
    for name, text in TYPED.items():
        window.fill(f".fb-{name}", text, enter=False)
    window.fill(".fb-q-lines", "1.51, 2.14", enter=False)
    window.until(lambda: names(window, "typed-rings") == ["1.51", "2.14"], "rings are dashed")
    assert geometry(live) is None
    assert list((tmp_path / "results").glob("*.poni")) == []
    window.press("Enter", ".fb-q-lines")
    window.until(lambda: geometry(live) == POWDER_GEOMETRY, "the geometry is set")
    window.until(lambda: names(window, "rings") == ["1.51", "2.14"], "rings are drawn")
    window.until(lambda: names(window, "typed-rings") == [], "none is dashed any more")
    columns = window.figure("image").columns("rings")
    assert columns is not None
    # the beam is in the middle of the pixels 80 and 60, and a ring lies around it
    assert (min(columns["xs"][0]) + max(columns["xs"][0])) / 2 == pytest.approx(80.5, abs=0.01)
    assert set(names(window, "ring-names")) == {"1.51", "2.14"}
    curve = live.diffraction.accumulated("pilatus")
    assert curve is not None
    assert curve.n_frames == 6
    window.until_text(".fb-geometry-told", ".*in pilatus.poni")
    kept = read_geometry(tmp_path / "results" / "pilatus.poni")
    assert (kept.x0_px, kept.distance_m) == pytest.approx((80.5, 0.02))
    # the prompt sets another one, which appears
    live.configure({"geometries": {"pilatus": POWDER_GEOMETRY.model_copy(update={"x0_px": 70.0})}})
    window.until(lambda: window.value(".fb-x0-px") == "70", "what the prompt has set is shown")
    assert (tmp_path / "results" / "pilatus_2.poni").exists()


@pytest.mark.long
def test_a_sum_is_stopped_begun_anew_and_brought_back(
    live: LiveAnalysis, beam: Beam, window: Window
) -> None:
    beam.scan(n=1)
    window.until_text(".fb-sum", "sum of 3 frames, 1 run ?since .*")
    window.click(".fb-accumulate")
    window.until_text(".fb-sum", "stopped: .*sum of 3 frames kept, 1 run.*")
    beam.scan(n=1)
    # the prompt starts it again, and keys do what the buttons do
    live.accumulation().start()
    window.until_text(".fb-accumulate", "Stop sum")
    beam.scan(n=1)
    window.until_text(".fb-sum", "sum of 6 frames, 2 runs.*")
    window.press("r")
    window.until_text(".fb-sum", "no frames in the sum ?reset by the user")
    beam.scan(n=1)
    window.until_text(".fb-sum", "sum of 3 frames, 1 run.*")
    window.click(".fb-undo-reset")
    window.until_text(".fb-sum", "sum of 9 frames, 3 runs.*")
    # there is nothing more to undo
    window.until(lambda: window.count(".fb-undo-reset button[disabled]") == 1, "undo is off")


@pytest.mark.long
def test_two_browsers_stay_in_step(
    live: LiveAnalysis,
    beam: Beam,
    served: ResultsServer,
    new_window: Callable[..., Window],
) -> None:
    live.configure({"geometries": {"pilatus": POWDER_GEOMETRY}})
    beam.scan(n=1)
    one, other = (new_window(served.address).open() for _ in range(2))
    for window in (one, other):
        window.until(lambda at=window: at.value(".fb-x0-px") == "80.5", "the geometry is shown")
    one.click(".fb-reset")
    other.until_text(".fb-sum", "no frames in the sum ?reset by the user")
    other.click(".fb-undo-reset")
    one.until_text(".fb-sum", "sum of 3 frames, 1 run.*")
    # one types while the other sets
    one.fill(".fb-x0-px", "82", enter=False)
    one.until(lambda: one.count(".fb-x0-px.is-unsaved") == 1, "what was typed is marked")
    other.choose(".fb-calibrant", "LaB6")
    other.fill(".fb-x0-px", "70", enter=False)
    other.fill(".fb-y0-px", "50")
    one.until(lambda: one.value(".fb-y0-px") == "50", "what the other has set is shown")
    one.until_text(".fb-geometry-told", ".*changed elsewhere while you typed.*")
    one.until(lambda: "1 1 0" in names(one, "rings"), "the calibrant is the same for both")
    assert one.value(".fb-x0-px") == "82"
    one.click(".fb-set-geometry")
    other.until(lambda: other.value(".fb-x0-px") == "82", "the last one counts")
    found = geometry(live)
    assert found is not None
    assert (found.x0_px, found.y0_px) == (82.0, 50.0)
    # nonsense is told while it is typed, and not taken
    one.fill(".fb-distance-m", "-1", enter=False)
    one.until_text(".fb-geometry-told", r".*Distance \[m\]: Input should be greater than 0.*")
    assert one.count(".fb-set-geometry button[disabled]") == 1
    one.click(".fb-revert-geometry")
    one.until(lambda: one.value(".fb-distance-m") == "0.02", "what was typed is forgotten")


@pytest.mark.long
def test_files_the_centre_and_no_geometry_any_more(
    live: LiveAnalysis, beam: Beam, window: Window, tmp_path: Path
) -> None:
    beam.scan(n=1)
    image = window.figure("image")
    image.until_title("Sum of 3 images")
    write_poni(tmp_path / "given.poni", POWDER_GEOMETRY, calibrant="LaB6")
    window.upload(".fb-load-geometry", tmp_path / "given.poni")
    window.until(lambda: window.value(".fb-x0-px") == "80.5", "the form shows the file")
    assert geometry(live) is None
    window.click(".fb-pick-centre")
    window.until_text(".fb-geometry-told", "click on the image where the direct beam is.*")
    image.click(40.5, 30.5)
    window.until(lambda: window.value(".fb-x0-px").startswith("40."), "the centre is picked")
    window.choose(".fb-calibrant", "LaB6")
    window.until(lambda: "1 1 0" in names(window, "typed-rings"), "rings lie around it")
    window.click(".fb-set-geometry")
    window.until(lambda: geometry(live), "it is set")
    found = geometry(live)
    assert found is not None
    assert (found.x0_px, found.y0_px) == pytest.approx((40.5, 30.5), abs=0.5)
    window.until(lambda: window.count(".fb-save-geometry button[disabled]") == 0, "it can be saved")
    name, data = window.download(".fb-save-geometry")
    assert name == "pilatus.poni"
    (tmp_path / name).write_bytes(data)
    assert read_geometry(tmp_path / name) == Geometry.from_poni(found.poni())
    window.click(".fb-show-rings")
    window.click(".fb-delete-geometry")
    window.until(lambda: geometry(live) is None, "it is deleted")
    window.until(lambda: names(window, "rings") == [], "and so are its rings")
    window.click(".fb-set-geometry")
    window.until(lambda: geometry(live) == found, "and comes back to the last digit")


@pytest.mark.long
def test_lab6_as_it_was_recorded(
    live: LiveAnalysis, served: ResultsServer, new_window: Callable[..., Window], tmp_path: Path
) -> None:
    data = Path(__file__).parents[4] / "shared" / "data" / "lab6"
    if not data.is_dir():
        pytest.skip(f"the recorded LaB6 scan is not at {data}")
    replay([data / "pilatus.cbors.gz", data / "sardana.cbors"], live)
    window = new_window(served.address, width=1600, height=1000).open()
    window.until_text(".fb-sum", "30 frames, 1 run.*")
    window.until_text(".fb-masked", r"\d+ of 1 225 725 px masked.*")
    typed = {"energy-kev": "13.5", "distance-m": "0.131", "x0-px": "210", "y0-px": "373"}
    for name, text in typed.items():
        window.fill(f".fb-{name}", text, enter=False)
    window.fill(".fb-q-lines", "1.51, 2.14, 2.62, 3.02, 3.39")
    window.until(lambda: len(names(window, "rings")) == 5, "five rings are drawn")
    curve = live.diffraction.accumulated("pilatus")
    assert curve is not None
    # the rings lie where the powder scatters
    for q in (2.14, 3.39):
        on, beside = np.interp([q, q + 0.1], curve.q, curve.intensity)
        assert on > 1.1 * beside
    window.click(".fb-show-mask")
    window.figure("image").until_title("Sum of 30 images", "Hottest 3841.6")
    window.picture(tmp_path / "lab6.png")
