"""Where the shown detector stands: typed, seen as rings at once, and set for all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from femto_bluesky.callbacks.azimuthal_settings import of_detector
from femto_bluesky.files.geometries import GeometryFileError, poni_text, read_geometry
from femto_bluesky.model.calibrants import calibrant_names
from femto_bluesky.model.geometry import Geometry
from femto_bluesky.model.sums import Kind
from femto_bluesky.viewer.hub import News
from femto_bluesky.viewer.known_detectors import known_detector
from femto_bluesky.viewer.page.geometry_form import (
    CALIBRANT,
    NO_CALIBRANT,
    Q_LINES,
    GeometryForm,
)
from femto_bluesky.viewer.page.geometry_terms import (
    LABELS,
    geometry_of,
    q_lines_of,
    q_text,
    texts_of,
)
from femto_bluesky.viewer.page.rings import RingLayer, Wanted
from femto_bluesky.viewer.page.session import Session
from femto_bluesky.viewer.page.told import Told, said

MAX_FILE_B: Final = 100_000
"""Who may only read may load files too; a longer one is read for seconds."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is set and known of the shown detector."""

    detector: str
    geometry: Geometry | None
    calibrant: str | None
    q_lines: tuple[float, ...]
    kind: Kind | None
    pixel_size_m: tuple[float, float] | None

    @property
    def texts(self) -> dict[str, str]:
        """What stands in the form."""
        return {
            **texts_of(self.geometry, self.pixel_size_m),
            Q_LINES: q_text(self.q_lines),
            CALIBRANT: self.calibrant or NO_CALIBRANT,
        }


class GeometryPanel:
    """The form of the shown detector's geometry, and of the lines whose rings are drawn.

    It shows what is set, from wherever, but for fields in which somebody types: those stay until
    they are set or reverted, and their rings are drawn dashed in this browser alone.
    """

    def __init__(self, session: Session, rings: RingLayer, figure: Any) -> None:
        import panel as pn

        self._session, self._rings = session, rings
        self.form = GeometryForm(self._typed, self.set, self._poni)
        self._told = Told("geometry-told")
        self.view: Any = pn.Column(
            self.form.fields, self._told.view, self.form.files,
            sizing_mode="stretch_width", margin=(6, 0, 0, 0),
        )  # fmt: skip
        self._known = self._look()
        self._filled = self._known.texts
        self._base = self._known.geometry  # what fields that were not typed in stand for
        self._is_from_file = self._is_set = self._is_being_set = False
        self._elsewhere: set[str] = set()  # typed here, and set by somebody else meanwhile
        self._words = ""
        self._sent = self._filled
        self.form.set.on_click(lambda _: self.set())
        self.form.revert.on_click(lambda _: self.revert())
        self.form.delete.on_click(lambda _: self.delete())
        self.form.load.param.watch(lambda event: self._load(event.new), "value")
        self.form.rings.param.watch(lambda event: setattr(rings, "is_shown", event.new), "value")
        self.form.pick.param.watch(lambda event: self._tell(), "value")
        figure.on_event("tap", self._picked)
        session.shortcuts.add("g", "rings on the image, or none", self._toggle_rings)
        session.on_choice.append(self.show)
        self.form.fill(self._filled)
        self._typed()
        # pyFAI, which knows them, takes a second to import
        session.doc.add_next_tick_callback(
            lambda: session.in_thread(calibrant_names, self.form.offer)
        )

    # what is set

    def refresh(self, news: frozenset[News]) -> None:
        """Show what is set, where it is something else."""
        if news & {"settings", "image", "curves"}:
            self.show()

    def show(self) -> None:
        """Show what is set, but for fields in which somebody types."""
        known, before = self._look(), self._known
        if self._is_set:
            self._is_set, self._known = False, known
            self._settle()
            return
        if known != before:
            is_other = known.detector != before.detector and before.kind is not None
            self._known = known
            if is_other:
                self.revert()
                return
            self._take_over(known)
        self._tell()

    def _settle(self) -> None:
        """What was set from here is typed no more; what somebody has typed since then is."""
        texts, self._filled = self.form.texts, self._known.texts
        self._base, self._is_from_file = self._known.geometry, False
        self.form.fill({n: text for n, text in self._filled.items() if texts[n] == self._sent[n]})
        self._typed()

    def _take_over(self, known: Known) -> None:
        """Fill in what is new, and leave what was typed."""
        new = known.texts
        if new == self._filled and known.geometry == self._base:
            return
        typed = self._typed_fields()
        self._elsewhere |= typed & {name for name in new if new[name] != self._filled[name]}
        self._filled = new
        if not self._is_from_file:
            self._base = known.geometry
            self.form.fill({name: text for name, text in new.items() if name not in typed})
        self._typed()

    def _look(self) -> Known:
        live = self._session.live
        used = live.diffraction.settings
        detector = self._session.detector or next(iter(used.geometries), "")
        held = live.accumulations.of.get(detector)
        size = None if held is None else held.pixel_size_m
        size = size or known_detector(live, detector).pixel_size_m
        return Known(
            detector, of_detector(used.geometries, detector), used.calibrant, used.q_lines,
            None if held is None else held.kind, size,
        )  # fmt: skip

    # what is typed

    @property
    def is_typed(self) -> bool:
        """Whether something stands in the form that is not set."""
        return bool(self._typed_fields())

    def _typed_fields(self) -> set[str]:
        texts = self.form.texts
        return {name for name, text in texts.items() if text.strip() != self._filled[name]}

    def _typed(self) -> None:
        """Show what was typed as rings, or say why not."""
        typed, can_set, self._words = self._typed_fields(), False, ""
        wanted = None
        if typed:
            try:
                geometry, calibrant, lines = self._read()
                can_set = True
                if geometry is not None and self._known.kind is not None:
                    _, shape, origin = self._known.kind
                    wanted = Wanted(geometry, shape, origin, calibrant, lines)
                self._rings.type(wanted)
            except ValueError as error:
                self._words = str(error)  # the rings of what could be read last stay
        else:
            self._rings.type(None)
        self.form.save.filename = f"{self._known.detector or 'geometry'}.poni"
        self._elsewhere &= typed
        self.form.mark(typed, self._elsewhere)
        self.form.allow(
            may=self._session.may_change, can_set=can_set, is_typed=bool(typed),
            is_set=self._known.geometry is not None,
        )  # fmt: skip
        self._tell()

    def _read(self) -> tuple[Geometry | None, str | None, tuple[float, ...]]:
        """What stands in the form; no geometry where none was begun. Raises `ValueError`."""
        texts, known = self.form.texts, self._known
        lines = q_lines_of(texts[Q_LINES])
        calibrant = None if texts[CALIBRANT] == NO_CALIBRANT else texts[CALIBRANT]
        if known.geometry is None and not self._typed_fields() & LABELS.keys():
            return None, calibrant, lines
        geometry = geometry_of(texts, self._base)
        if known.kind is not None:
            _, shape, origin = known.kind
            geometry.for_region(origin).check_frame(shape)
        return geometry, calibrant, lines

    def _tell(self) -> None:
        """Say what is wrong, or where the geometry is kept."""
        live, known = self._session.live, self._known
        parts = []
        if self.form.pick.value:
            parts.append(said("click on the image where the direct beam is", "warning"))
        if self._is_being_set:
            parts.append(said("being set ..."))
        if self._words:
            parts.append(said(self._words, "error"))
        if self._elsewhere:
            parts.append(said("changed elsewhere while you typed", "warning"))
        if problem := live.diffraction.problems.get(known.detector):
            parts.append(said(f"no I(q): {problem}", "error"))
        if known.geometry is None:
            of = known.detector or "the detector"
            parts.append(said(f"no geometry of {of} is set", "faint"))
        else:
            parts.append(self._kept(known))
        self._told.tell(*parts)

    def _kept(self, known: Known) -> str:
        live = self._session.live
        path = live.diffraction.poni_files.get(known.detector)
        turned = known.geometry is not None and known.geometry.rot3_deg
        more = f"; rot3 {turned:g} deg, from its file" if turned else ""
        name = _entry(live.diffraction.settings.geometries, known.detector)
        whose = "" if name == known.detector else f" for detectors called {name}..."
        whose = whose if name else " for every detector"
        if path is None:
            return said(f"set{whose}, kept in no file{more}", "faint")
        return said(f"set{whose}, kept in {path.name}{more}", "faint", hint=str(path))

    # what is done

    def set(self) -> None:
        """Set what was typed, for all."""
        typed = self._typed_fields()
        if not typed or not self._session.may_change:
            return
        try:
            geometry, calibrant, lines = self._read()
        except ValueError as error:
            self._session.say(str(error), "error")
            return
        detector, live = self._known.detector, self._session.live
        has_lines = bool(typed & {Q_LINES, CALIBRANT})

        def changes() -> Mapping[str, Any]:
            found: dict[str, Any] = {}
            if geometry is not None and typed & LABELS.keys():
                found["geometries"] = {**live.diffraction.settings.geometries, detector: geometry}
            if has_lines:
                found["azimuthal"] = {"calibrant": calibrant, "q_lines": lines}
            return found

        def change() -> None:
            try:
                self._session.hub.change_with(changes, is_slow=True)
                self._is_set = True
            finally:
                self._is_being_set = False

        self._is_being_set, self._sent = True, self.form.texts
        self._tell()
        self._session.act(change)
        for doubt in [] if geometry is None else geometry.doubts(detector):
            self._session.say(f"{doubt} It is taken as it is", "warning")

    def revert(self) -> None:
        """Show what is set; what was typed is forgotten."""
        self._filled, self._base = self._known.texts, self._known.geometry
        self._is_from_file = False
        self._elsewhere.clear()
        self.form.fill(self._filled)
        self._typed()

    def delete(self) -> None:
        """Forget the geometry of the shown detector, which may be that of several.

        It stays in the form of this browser, where it can be set again.
        """
        known, live = self._known, self._session.live
        if known.geometry is None:
            return

        def changes() -> Mapping[str, Any]:
            now = dict(live.diffraction.settings.geometries)
            name = _entry(now, known.detector)
            return {"geometries": {n: g for n, g in now.items() if n != name}}

        self._is_from_file = True
        self._session.act(partial(self._session.hub.change_with, changes, is_slow=True))
        self._session.say(f"No geometry of {known.detector} any more; Set brings it back")

    def _toggle_rings(self) -> None:
        self.form.rings.value = not self.form.rings.value

    def _picked(self, event: Any) -> None:
        """The beam is where the image was clicked."""
        if not self.form.pick.value:
            return
        self.form.pick.value = False
        origin = (0, 0) if self._known.kind is None else self._known.kind[2]
        y, x = self._rings.position(event)
        y0, x0 = y + 0.5 + origin[0], x + 0.5 + origin[1]
        self.form.fill({"x0_px": f"{x0:.1f}", "y0_px": f"{y0:.1f}"})
        self._typed()

    def _load(self, data: bytes | None) -> None:
        if not data:
            return
        name = Path(self.form.load.filename or "file").name
        self._session.in_thread(partial(_read_upload, name, data), partial(self._loaded, name))

    def _loaded(self, name: str, geometry: Geometry) -> None:
        self._base, self._is_from_file = geometry, True
        self.form.fill(texts_of(geometry))
        self._typed()
        may = "; Set sets it for all" if self._session.may_change and self.is_typed else ""
        self._session.say(f"The form shows {name}{may}")

    def _poni(self) -> str:
        known = self._known
        if known.geometry is None:
            # deleted from elsewhere since the button was drawn
            words = f"no geometry of {known.detector or 'a detector'} is set: there is none to save"
            self._session.say(words, "warning")
            return f"# {words}\n"
        shape = known.kind[1] if known.kind is not None and known.kind[2] == (0, 0) else None
        return poni_text(known.geometry, shape=shape, calibrant=known.calibrant or "")


def _entry(geometries: Iterable[str], detector: str) -> str | None:
    """The entry that is of a detector: the longest that its name begins with."""
    return max((name for name in geometries if detector.startswith(name)), key=len, default=None)


def _read_upload(name: str, data: bytes) -> Geometry:
    """The geometry in a file that a browser has sent; nothing of it is kept."""
    if len(data) > MAX_FILE_B:
        raise GeometryFileError(
            f"{name} has {len(data)} bytes; a geometry takes no more than {MAX_FILE_B}"
        )
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "upload"
        path.write_bytes(data)
        try:
            return read_geometry(path)
        except GeometryFileError as error:
            raise GeometryFileError(str(error).replace(str(path), name)) from error
