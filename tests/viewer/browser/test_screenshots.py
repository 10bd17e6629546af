"""The pictures of the page that stand in the documentation: what the page makes of real scans.

`SCREENSHOTS=docs/_static/screenshots make long ARGS="-k screenshots"` writes them anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from femto_bluesky import Roi, demo, replay
from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.model.geometry import Geometry
from femto_bluesky.simulation.photons import BalorFrames, BalorSettings
from femto_bluesky.simulation.rings import RingFrames, RingSettings
from femto_bluesky.viewer import ResultsServer
from tests.viewer.browser.beam import Beam
from tests.viewer.browser.window import Window

pytestmark = pytest.mark.long

LAB6 = Path(__file__).parents[3].parent / "shared" / "data" / "lab6"

# What `femto-bluesky calibrate` finds for this recording.
GEOMETRY = Geometry(
    energy_kev=13.5, distance_m=0.132606, x0_px=204.549, y0_px=371.462, tilt_deg=0.531,
    rotation_deg=-92.6, pixel_size_m=(172e-6, 172e-6),
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the pictures are written: into the documentation if that is asked for."""
    return Path(os.environ.get("SCREENSHOTS", tmp_path)).absolute()


@pytest.fixture
def opened(
    started: Callable[..., ResultsServer], new_window: Callable[..., Window]
) -> Callable[..., Window]:
    """Opens the page of an analysis in a window as large as a screen."""

    def open_page(live: LiveAnalysis, **context: str) -> Window:
        return new_window(started(live).address, width=1600, height=1000, **context).open()

    return open_page


def is_painted(window: Window) -> bool:
    """Whether the image has been drawn, with more than one colour."""
    columns = window.figure("image").columns("picture")
    return columns is not None and len(set(columns["codes"][0])) > 2


DRAWN = """words => Bokeh.documents.some(doc => [...doc._all_models.values()].some(model =>
    model.type == "Figure" && model.visible && model.inner_width > 0 && (
    model.title?.text?.includes(words) || model.renderers.some(r => r.name?.includes(words)) ||
    model.above.concat(model.center).some(part =>
        part.items?.some(item => item.visible && item.label?.value?.includes(words))))))"""


def show_curves(window: Window, name: str, words: str) -> None:
    """Show the curves of this name, until there are words in the title or legend of one of them."""
    tab = re.compile(rf"^{re.escape(name)}$")
    window.do(lambda page: page.locator(".fb-curves .bk-tab").filter(has_text=tab).click())
    window.until(lambda: window.run(DRAWN, words), f"{words!r} is drawn")
    window.wait_until_idle()
    window.run(
        "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )


@pytest.mark.skipif(
    not LAB6.is_dir(), reason=f"the recordings are not there: put them into {LAB6.parent}"
)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_lab6_with_rings(scheme: str, folder: Path, opened: Callable[..., Window]) -> None:
    live = LiveAnalysis(
        {"ROI 2": Roi(x0=600, y0=220, x1=700, y1=400)},
        geometries={"pilatus": GEOMETRY},
        azimuthal={"calibrant": "LaB6"},
    )
    replay([LAB6 / "pilatus.cbors.gz", LAB6 / "sardana.cbors"], live)
    window = opened(live, color_scheme=scheme)
    window.figure("image").until_title("Sum of 30 images")
    window.until(lambda: is_painted(window), "the image is drawn")
    window.choose(".fb-limits", "Percentile")
    window.choose(".fb-pooling", "Mean")
    show_curves(window, "I(q)", "30 frames")
    name = "lab6" if scheme == "light" else "lab6-dark"
    assert window.picture(folder / f"{name}.png").stat().st_size > 50_000


def test_photons(folder: Path, opened: Callable[..., Window]) -> None:
    frames = BalorFrames(
        BalorSettings(
            n_photons=600, spot_photons=900, spot_sigma_px=250, spot_y=2300, spot_x=1700, seed=1
        ),
        scale_at=lambda position: 1 + np.sin(position),
    )
    rois = {
        "spot": Roi(x0=1400, y0=2000, x1=2000, y1=2600),
        "beside": Roi(x0=2800, y0=900, x1=3400, y1=1500),
    }
    live = LiveAnalysis(rois, photon_files=False)
    Beam(live, {"andor3_balor": frames}).scan(np.linspace(0, 6, 7).tolist(), n=3)
    window = opened(live)
    window.figure("image").until_title("Sum of 21 images")
    window.until(lambda: is_painted(window), "the image is drawn")
    window.choose(".fb-scale", "Linear")
    window.choose(".fb-palette", "Inferno")
    window.choose(".fb-max-filter", "3 px")
    show_curves(window, "Photons", "Energies of")
    assert window.picture(folder / "photons.png").stat().st_size > 50_000


def test_step_means(folder: Path, opened: Callable[..., Window]) -> None:
    frames = RingFrames(RingSettings(), scale_at=demo.intensity)
    live = LiveAnalysis(demo.ROIS)
    beam = Beam(live, {"pilatus": frames})
    window = opened(live)
    for _ in range(2):
        beam.scan(np.linspace(-1, 7, 13).tolist(), n=4)
    window.figure("image").until_title("Sum of 104 images")
    window.until(lambda: is_painted(window), "the image is drawn")
    # the run before it, beside the newest
    window.until_text(".fb-earlier-runs", "1")
    window.click(".fb-earlier-runs button")
    show_curves(window, "Step means", "scan 1")
    assert window.picture(folder / "step-means.png").stat().st_size > 50_000
