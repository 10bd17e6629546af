"""What the report looks like: one HTML page that needs nothing beside it."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape

_STYLE = """
:root { color-scheme: light dark; --text: #1b2733; --faint: #5b6b7b; --line: #d5dce3;
  --surface: #ffffff; --page: #f4f6f8; --raised: #eef2f6; --accent: #1f5fa8; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --faint: #9fb0c0; --line: #33414e;
  --surface: #1b232c; --page: #12181f; --raised: #232d38; --accent: #7fb4ee; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 1200px; margin: 0 auto; padding: 28px 24px 60px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 6px; }
h2 { font-size: 19px; margin: 40px 0 10px; padding-bottom: 5px;
  border-bottom: 1px solid var(--line); }
p { margin: 8px 0; max-width: 80ch; }
.faint { color: var(--faint); }
.bad { color: var(--bad); }
nav { margin: 14px 0 0; font-size: 14px; display: flex; flex-wrap: wrap; gap: 4px 18px; }
a { color: var(--accent); }
.wide { overflow-x: auto; background: var(--surface); border: 1px solid var(--line);
  border-radius: 8px; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px;
  font-variant-numeric: tabular-nums; }
th, td { padding: 5px 12px; text-align: right; vertical-align: top; white-space: nowrap; }
th { color: var(--faint); font-weight: 600; background: var(--raised); vertical-align: bottom;
  white-space: normal; overflow-wrap: break-word; }
th small { display: block; font-weight: 400; }
tbody tr + tr td { border-top: 1px solid var(--line); }
td.text, th.text { text-align: left; white-space: normal; overflow-wrap: anywhere;
  min-width: 15em; }
td.name, th.name { text-align: left; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(var(--card), 1fr));
  gap: 14px; }
figure { margin: 0; background: var(--surface); border: 1px solid var(--line);
  border-radius: 8px; padding: 8px; break-inside: avoid; }
figure img { display: block; width: 100%; height: auto; border-radius: 4px; }
figcaption { font-size: 13px; color: var(--faint); padding: 6px 4px 0; }
pre { background: var(--surface); border: 1px solid var(--line); border-radius: 8px;
  padding: 10px 14px; font: 13px/1.45 ui-monospace, "DejaVu Sans Mono", monospace;
  white-space: pre-wrap; overflow-wrap: anywhere; margin: 8px 0; }
details { margin: 10px 0; }
summary { cursor: pointer; color: var(--accent); margin-bottom: 8px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 3px 18px; margin: 10px 0; }
dt { color: var(--faint); }
dd { margin: 0; overflow-wrap: anywhere; }
section > * + * { margin-top: 14px; }
@media (prefers-color-scheme: dark) {
  img.paper { filter: invert(0.895) hue-rotate(180deg); mix-blend-mode: lighten; }
}
@media print { :root { color-scheme: light; --text: #000; --faint: #444; --line: #bbb;
    --surface: #fff; --page: #fff; --raised: #f0f0f0; --accent: #000; --bad: #900; }
  body { font-size: 10.5pt; } main { max-width: none; padding: 0; } nav { display: none; }
  img.paper { filter: none; mix-blend-mode: normal; }
  h2 { break-after: avoid; } tr { break-inside: avoid; } thead { display: table-header-group; }
  .wide { overflow: visible; border-radius: 0; } table { font-size: 8.5pt; }
  th, td { padding: 3px 6px; } td.text, th.text { min-width: 0; }
  .cards { --card: 300px !important; }
  @page { margin: 14mm; } }
"""


def page(title: str, work: str, body: Iterable[str]) -> str:
    """The whole page. `work` tells this work from any other."""
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta name="work" content="{escape(work)}">',
            f"<title>{escape(title)}</title>",
            f"<style>{_STYLE}</style></head><body><main>",
            *body,
            "</main></body></html>",
            "",
        ]
    )


def picture(png: bytes, caption: str = "", *, alt: str, photo: bool = False) -> str:
    """A picture with its words below. In the dark a plot is inverted, a `photo` is not."""
    source = base64.b64encode(png).decode()
    kind = "photo" if photo else "paper"
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return (
        f'<figure><img class="{kind}" alt="{escape(alt)}" '
        f'src="data:image/png;base64,{source}">{below}</figure>'
    )


def cards(pictures: Iterable[str], width_px: int) -> str:
    """Pictures beside each other, each at least so wide."""
    return f'<div class="cards" style="--card: {width_px}px">{"".join(pictures)}</div>'


def table(head: Sequence[tuple[str, str]], rows: Iterable[Sequence[str]], kinds: str) -> str:
    """A table. Each head has a name and a smaller line below.

    `kinds` has a letter for each column: "n" number, "t" text that may be wrapped, "l" a name.
    """
    names = {"n": "", "t": ' class="text"', "l": ' class="name"'}
    heads = {"n": "", "t": ' class="text"', "l": ' class="name"'}
    top = "".join(
        f"<th{heads[kind]}>{escape(name)}{f'<small>{escape(below)}</small>' if below else ''}</th>"
        for (name, below), kind in zip(head, kinds, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{names[kind]}>{escape(cell)}</td>" for cell, kind in zip(row, kinds, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Names with their values."""
    return "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in pairs) + "</dl>"


def words(text: str, kind: str = "") -> str:
    """A paragraph."""
    style = f' class="{kind}"' if kind else ""
    return f"<p{style}>{escape(text)}</p>"


def code(text: str) -> str:
    """What is typed, or was a file."""
    return f"<pre>{escape(text)}</pre>"


def heading(text: str, mark: str) -> str:
    """The heading of a section that `mark` leads to."""
    return f'<h2 id="{escape(mark)}">{escape(text)}</h2>'


def folded(title: str, body: str) -> str:
    """What is seen when it is asked for."""
    return f"<details><summary>{escape(title)}</summary>{body}</details>"
