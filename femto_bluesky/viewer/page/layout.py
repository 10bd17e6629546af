"""Which parts the page has, and where they stand."""

from __future__ import annotations

from typing import Any

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
from femto_bluesky.viewer.page.template import filled
from femto_bluesky.viewer.page.theme import Theme


def laid_out(session: Session) -> Any:
    """The whole page of one browser, as a Panel template."""
    import panel as pn

    Theme(session)
    browser = Browser(session)
    header = Header(session)
    image = ImageFigure(session)
    cursor, projections = CursorLine(session, image), ProjectionCurves(session, image)
    session.parts += [header, image, cursor, projections]
    colours = ColourControls(session, image)
    colours.view.append(projections.switch)
    centre = pn.Column(
        colours.view,
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
    left = pn.Column(
        sums.view, geometry.view, mask.view, settings.view, sizing_mode="stretch_width", margin=0
    )
    right = pn.Column(regions.view, curves.view, sizing_mode="stretch_width", margin=0)
    return filled(browser=browser.view, header=header.view, left=left, centre=centre, right=right)
