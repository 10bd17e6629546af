"""Which parts the page has, and where they stand."""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Final

from femto_bluesky.viewer.page.accumulating import AccumulatingPanel
from femto_bluesky.viewer.page.browser import Browser
from femto_bluesky.viewer.page.colours import ColourControls
from femto_bluesky.viewer.page.cursor import CursorLine
from femto_bluesky.viewer.page.curves import CurvesPanel
from femto_bluesky.viewer.page.geometry import GeometryPanel
from femto_bluesky.viewer.page.header import Header
from femto_bluesky.viewer.page.image import ImageFigure
from femto_bluesky.viewer.page.mask import MaskPanel
from femto_bluesky.viewer.page.projections import ProjectionCurves
from femto_bluesky.viewer.page.regions import Regions
from femto_bluesky.viewer.page.rings import RingLayer
from femto_bluesky.viewer.page.session import Session
from femto_bluesky.viewer.page.settings import SettingsPanel
from femto_bluesky.viewer.page.theme import Theme

ICON: Final = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Crect width='16' height='16' rx='3' fill='%23123'/%3E%3Cg fill='none' stroke='%234cb5e0'%3E"
    "%3Ccircle cx='8' cy='8' r='5.5'/%3E%3Ccircle cx='8' cy='8' r='2.5'/%3E%3C/g%3E%3C/svg%3E"
)
"""Rings, as the browser's tab shows them."""


def laid_out(session: Session) -> Any:
    """The whole page of one browser, as a Panel template."""
    import panel as pn

    Theme(session)
    browser = Browser(session)
    header = Header(session)
    image = ImageFigure(session)
    cursor, projections = CursorLine(session, image), ProjectionCurves(session, image)
    session.parts += [header, image, cursor, projections]
    centre = pn.Column(
        pn.Row(ColourControls(session, image).view, projections.switch, margin=0),
        projections.view, cursor.view, sizing_mode="stretch_both", margin=0,
    )  # fmt: skip
    sums, rings = AccumulatingPanel(session), RingLayer(session, image.figure)
    geometry = GeometryPanel(session, rings, image.figure)
    mask = MaskPanel(session, image.mark_mask)
    session.parts += [sums, rings, geometry, mask]
    regions = Regions(session, image.figure)
    session.parts.append(regions)
    curves = CurvesPanel(session)
    session.parts.append(curves)
    settings = SettingsPanel(session)
    session.parts.append(settings)
    here = files("femto_bluesky.viewer.page")
    page = pn.Template((here / "page.html").read_text())
    page.add_variable("app_favicon", ICON)
    page.add_variable("apple_icon", ICON)
    page.add_variable("style", (here / "style.css").read_text())
    page.add_variable("look", (here / "look.css").read_text())
    page.add_variable("connection", (here / "connection.js").read_text())
    page.add_variable("browser", (here / "browser.js").read_text())
    page.add_panel("browser", browser.view)
    page.add_panel("header", header.view)
    page.add_panel(
        "left",
        pn.Column(
            sums.view,
            geometry.view,
            mask.view,
            settings.view,
            sizing_mode="stretch_width",
            margin=0,
        ),
    )
    page.add_panel("centre", centre)
    page.add_panel(
        "right", pn.Column(regions.view, curves.view, sizing_mode="stretch_width", margin=0)
    )
    return page
