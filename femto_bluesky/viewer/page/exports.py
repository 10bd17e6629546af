"""The menu of what can be saved."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, Final
from urllib.parse import quote

from femto_bluesky.model.results import DataGroup
from femto_bluesky.model.rois import slug
from femto_bluesky.viewer.page.earlier_runs import EarlierRuns
from femto_bluesky.viewer.page.session import Session

STYLE: Final = """
.menu {
  width: 330px; max-height: 60vh; overflow: auto; padding: 6px; border-radius: 6px;
  border: 1px solid var(--fb-line); background: var(--fb-surface); color: var(--fb-text);
  box-shadow: 0 4px 16px rgb(0 0 0 / 0.25);
}
.menu h4 { margin: 6px 4px 2px; font-size: 11px; color: var(--fb-faint); font-weight: 600; }
.menu > div { display: flex; align-items: baseline; gap: 8px; padding: 2px 4px; }
.menu > div > span { flex: 1; min-width: 0; overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; }
.menu button { padding: 0; border: 0; background: none; font: inherit; cursor: pointer; }
.menu a, .menu button { color: var(--fb-accent); text-decoration: none; }
.menu a:hover, .menu button:hover { text-decoration: underline; }
"""

SAVE_AS_SEEN: Final = (
    "for (const d of Bokeh.documents) { const m = d.get_model_by_name('image');"
    "const t = m && m.toolbar.tools.find(t => t.type == 'SaveTool');"
    "if (t) { t.filename = this.dataset.name; t.do.emit('save') } }"
)
"""The picture as this browser shows it: with its region, colours and marks."""


CLOSE: Final = """
if (cb_obj.active) {
  const ours = ["fb-export", "fb-export-button"];
  const isOurs = (node) => ours.some((name) => node.classList?.contains(name));
  const over = new AbortController();
  const close = () => { cb_obj.active = false; };
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
  }, {signal: over.signal});
  document.addEventListener("pointerdown", (event) => {
    if (!event.composedPath().some(isOurs)) close();
  }, {capture: true, signal: over.signal});
  const {change} = cb_obj.properties.active;
  const end = () => {
    over.abort();
    change.disconnect(end);
  };
  change.connect(end);
}
"""
"""An open menu closes as others do: with Escape, and with a click beside it."""


class ExportMenu:
    """Links to the files of `export_files`, for the run that is shown."""

    def __init__(self, session: Session, runs: EarlierRuns) -> None:
        import panel as pn

        self._session, self._runs = session, runs
        self._wanted: tuple[str, list[str]] = ("", [])
        button = pn.widgets.Toggle(
            label="Export", width=64, css_classes=["fb-export-button"], margin=(2, 4)
        )
        beneath = {"position": "absolute", "left": "-264px", "top": "32px", "z-index": "30"}
        self._menu = pn.pane.HTML(
            menu([], []), css_classes=["fb-export"], stylesheets=[STYLE], margin=0, visible=False,
            styles=beneath,
        )  # fmt: skip
        # what is in an open menu may change: that it is open is known here
        button.jslink(self._menu, value="visible")
        button.jscallback(value=CLOSE)
        self.view: Any = pn.Column(
            button, self._menu, margin=0, width=72,
            styles={"position": "relative", "overflow": "visible"},
        )  # fmt: skip

    def note(self, run: str, groups: Iterable[DataGroup]) -> None:
        """The results that there are; may be called in a thread."""
        self._wanted = run, [group.path for group in groups]

    def refresh(self) -> None:
        """Offer what there is now."""
        run, curves = self._wanted
        runs = self._session.hub.runs.of
        known = runs.get(run or self._runs.newest)
        sums = [
            (f"{name}: sum with regions and rings", f"accumulated/{name}")
            for name in self._session.detectors
        ]
        found = menu(
            sums, curves, run=run, name=f"scan_{slug(known.number)}" if known else "image",
            photons=[path.name for path in known.photon_files] if known else [],
        )  # fmt: skip
        if found != self._menu.object:
            self._menu.object = found


def menu(
    sums: Sequence[tuple[str, str]],
    curves: Sequence[str],
    *,
    run: str = "",
    name: str = "image",
    photons: Sequence[str] = (),
) -> str:
    """The menu as HTML; sums are titles with the paths of results, curves their paths."""
    of_run = f"?run={quote(run)}" if run else ""

    def link(path: str, text: str) -> str:
        return f'<a href="export/{quote(path)}{of_run}" download>{text}</a>'

    def line(title: str, *links: str) -> str:
        shown = escape(title, quote=True)
        return f'<div><span title="{shown}">{shown}</span>{"".join(links)}</div>'

    lines = [
        "<h4>All</h4>",
        line("Results (NeXus)", link("results.h5", "HDF5")),
        line("Steps: motors, means, errors", link("steps.csv", "CSV")),
    ]
    as_seen = (
        f'<button class="as-seen" data-name="{escape(name)}_image" '
        f'onclick="{escape(SAVE_AS_SEEN, quote=True)}">PNG</button>'
    )
    lines += ["<h4>Image</h4>", line("As it is seen here", as_seen)]
    lines += [line(title, link(f"png/{path}.png", "PNG")) for title, path in sums]
    lines += ["<h4>Photons</h4>"] * bool(photons)
    lines += [line(file, link(f"photons/{n}.csv", "CSV")) for n, file in enumerate(photons)]
    lines += ["<h4>Curves and maps</h4>"] * bool(curves)
    lines += [
        line(path.replace("/", ": ").replace("_", " "),
             link(f"csv/{path}.csv", "CSV"), link(f"png/{path}.png", "PNG"))
        for path in curves
    ]  # fmt: skip
    return f"<div class='menu'>{''.join(lines)}</div>"
