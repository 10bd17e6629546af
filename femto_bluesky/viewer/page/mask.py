"""Which pixels carry no data: how many they are, and where."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np

from femto_bluesky.callbacks.accumulation import Accumulation
from femto_bluesky.callbacks.azimuthal_settings import of_detector
from femto_bluesky.viewer.hub import News
from femto_bluesky.viewer.page.newest import Newest
from femto_bluesky.viewer.page.session import Session
from femto_bluesky.viewer.page.told import Told, said

LOOK_S: Final = 2.0
"""No more often are masked pixels counted, which goes through the whole frame."""


class MaskPanel:
    """Counts the masked pixels of the shown detector, and has them made conspicuous.

    `on_show` is called with whether they are to be seen at a glance; else they are grey.
    """

    def __init__(self, session: Session, on_show: Callable[[bool], None]) -> None:
        import panel as pn

        self._session = session
        self._looked_at: Any = None
        self._due = 0.0
        self._counting = Newest[tuple[int, int] | None](session, self._tell)
        self._show = pn.widgets.Checkbox(
            label="Masked pixels stand out", css_classes=["fb-show-mask"], margin=0
        )
        self._show.param.watch(lambda event: on_show(event.new), "value")
        self._told = Told("masked")
        self.view: Any = pn.Column(
            self._show, self._told.view, margin=0,
            sizing_mode="stretch_width",
        )  # fmt: skip

    def refresh(self, news: frozenset[News]) -> None:
        """Count anew where something has changed, and not too often."""
        name = self._session.detector
        found = self._session.live.accumulations.of.get(name or "")
        if found is None or self._counting.is_busy or not news:
            return
        used = self._session.live.diffraction.settings
        file = of_detector(used.mask_files, name or "")
        version, before = (name, found.version, file), self._looked_at
        is_other = before is not None and before[0] != name
        if version == before or (time.monotonic() < self._due and not is_other):
            return
        self._due = time.monotonic() + LOOK_S
        self._looked_at = version
        self._counting.ask(partial(_counted, found))

    def _tell(self, counted: tuple[int, int] | None) -> None:
        if counted is None:
            self._told.tell()
            return
        (n, size), (_, _, file) = counted, self._looked_at
        share = f"({100 * n / max(size, 1):.3g}\u00a0%)"
        text = f"{n:,} of {size:,} px masked {share}".replace(",", " ")
        if file is not None:
            text += f"; for I(q) also {file.name}"
        self._told.tell(said(text, "faint"))


def _counted(found: Accumulation) -> tuple[int, int] | None:
    """How many pixels no frame has had data in, and how many there are."""
    glimpse = found.look()
    if glimpse is None:
        return None
    mask = glimpse.mask()
    return 0 if mask is None else int(np.count_nonzero(mask)), glimpse.image.size
