from __future__ import annotations

from bokeh.plotting import figure

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.model.detectors import DetectorSettings
from femto_bluesky.viewer.hub import Hub
from femto_bluesky.viewer.known_detectors import known_detector
from femto_bluesky.viewer.page.geometry import GeometryPanel
from femto_bluesky.viewer.page.rings import RingLayer
from femto_bluesky.viewer.snapshots import Snapshots
from tests.viewer.page.at_once import AtOnce
from tests.viewer.page.screen import show


def test_own_entries_stand_beside_the_table() -> None:
    mine = DetectorSettings(pixel_size_m=(55e-6, 55e-6))
    live = LiveAnalysis(detectors={"mine": mine})
    assert known_detector(live, "mine_2") == mine
    assert known_detector(live, "pilatus").pixel_size_m == (172e-6, 172e-6)
    assert known_detector(live, "other").pixel_size_m is None


def test_the_form_of_the_geometry_knows_the_pixels_of_a_detector_of_ones_own() -> None:
    live = LiveAnalysis(detectors={"mine": DetectorSettings(pixel_size_m=(55e-6, 55e-6))})
    show(live, detector="mine")
    snapshots = Snapshots(live)
    hub = Hub(live, snapshots)
    session, drawn = AtOnce(hub), figure(x_range=(0, 1), y_range=(1, 0))
    panel = GeometryPanel(session, RingLayer(session, drawn), drawn)
    assert panel.form.texts["pixel_size_m"] == "55"
    hub.close()
    snapshots.close()
