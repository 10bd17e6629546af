"""The report of a reprocessing: one page for people, with numbers, plots and their provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import yaml

from femto_bluesky.model.results import DataGroup
from femto_bluesky.reprocess import report_plots as plots
from femto_bluesky.reprocess.differences import difference_of
from femto_bluesky.reprocess.group_files import read_results
from femto_bluesky.reprocess.report_page import (
    cards,
    code,
    facts,
    folded,
    heading,
    page,
    picture,
    table,
    words,
)
from femto_bluesky.reprocess.report_words import (
    NOTHING,
    counted,
    duration,
    key_text,
    moment,
    two_digits,
    value_text,
    with_error,
)
from femto_bluesky.reprocess.summary import GroupSummary, Numbers
from femto_bluesky.reprocess.summary_curves import Told, curves_of, series_of, whole_curves

MOST_IMAGES = 24
"""So many groups are shown with their images; of more, those that are spread evenly."""

MOST_NUMBERS = 4
"""So many numbers stand in the table of groups, and twice as many are drawn; all are in summary.h5.
"""

_INDEPENDENT = (
    "Errors are those of independent groups: a drift that both share, as from run to run, makes "
    "them too large, and never too small."
)

MOST_CURVES = 60
"""So many curves are laid on one another; of more, those that are spread evenly."""


def report(told: Told) -> str:
    """The page as HTML."""
    title = _title(told)
    sections = [
        ("means", "Numbers of the groups", _numbers(told)),
        ("images", "Images", _images(told)),
        ("curves", "Curves", _curves(told)),
        ("differences", f"Differences from {_reference(told)}", _differences(told)),
        ("broken", "Runs that are in no result", _broken(told)),
        ("provenance", "Where this comes from", _provenance(told)),
    ]
    there = [(mark, name, body) for mark, name, body in sections if body]
    links = "".join(f'<a href="#{mark}">{name}</a>' for mark, name, _ in _escaped(there))
    body = [f"<h1>{escape(title)}</h1>", words(_sentence(told)), f"<nav>{links}</nav>"]
    for mark, name, parts in there:
        body += [f"<section>{heading(name, mark)}", *parts, "</section>"]
    return page(title, str(told.record["work"]), body)


def _escaped(sections: Sequence[tuple[str, str, list[str]]]) -> list[tuple[str, str, list[str]]]:
    return [(mark, escape(name), body) for mark, name, body in sections]


def _title(told: Told) -> str:
    return f"{counted(len(told.record['runs']), 'run')} in {counted(len(told.groups), 'group')}"


def _sentence(told: Told) -> str:
    """What was done."""
    runs, broken = told.record["runs"], told.record["broken"]
    n_shots = sum(group.n_shots for group in told.groups)
    text = f"{counted(n_shots, 'shot')} of {counted(len(runs), 'run')}{_which(runs)}"
    text += f" were analysed again with {told.record['analysis']['name']}"
    by = told.record["group_by"]
    text += f" and put together by {key_text(by)}." if by else ", all together."
    if broken:
        text += f" {counted(len(broken), 'run')} could not be read and {_are(broken)} in no result."
    if told.seconds:
        rate = n_shots / told.seconds
        text += f" It took {duration(told.seconds)} with {counted(told.n_workers, 'worker')}"
        text += f" ({rate:.3g} shots a second)."
    return text


def _are(things: Sequence[Any]) -> str:
    return "is" if len(things) == 1 else "are"


def _which(runs: Sequence[Mapping[str, Any]]) -> str:
    """The scan numbers and the time of runs."""
    if not runs:
        return ""
    scans = [run["scan_id"] for run in runs if isinstance(run["scan_id"], int)]
    told = []
    if scans:
        low, high = min(scans), max(scans)
        told.append(f"scans {low} to {high}" if high > low else f"scan {low}")
    first, last = (edge(run["time"] for run in runs) for edge in (min, max))
    told.append(moment(first) + (f" to {moment(last)}" if last > first else ""))
    return f" ({', '.join(told)} UTC)"


def _numbers(told: Told) -> list[str]:
    """The table of groups, and their means as plots."""
    body = []
    names = list(dict.fromkeys(name for group in told.groups for name in group.numbers))
    if len(told.groups) > 1:
        curves = list(_by_number(curves_of(told.groups)).values())
        shown = [_mean_plot(of_number) for of_number in curves[: 2 * MOST_NUMBERS]]
        if shown:
            body.append(cards(shown, 520))
            body.append(
                words("Error bars are the standard error of the mean of all shots.", "faint")
            )
    if told.groups:
        body.append(_table_of_groups(told.groups, names[:MOST_NUMBERS]))
        body.append(words(_meaning(len(names)), "faint"))
    if told.groups and len(told.groups[0].runs) > 1:
        drift = [_drift(name, told) for name in names[:MOST_NUMBERS]]
        body.append(heading("From run to run", "drift").replace("h2", "h3"))
        body.append(cards(filter(None, drift), 520))
    return body


def _meaning(n: int) -> str:
    text = (
        "mean ± standard error of all shots (std(ddof=1)/√n); runs ± is the spread of the means of "
        "the runs: where it is much larger than the standard error allows for, something drifts."
    )
    return text + f" {n - MOST_NUMBERS} more numbers are in summary.h5." * (n > MOST_NUMBERS)


def _by_number(means: Sequence[DataGroup]) -> dict[str, list[DataGroup]]:
    found: dict[str, list[DataGroup]] = {}
    for group in means:
        found.setdefault(group.path.split("/")[1], []).append(group)
    return found


def _mean_plot(curves: Sequence[DataGroup]) -> str:
    alt = curves[0].title
    if len(curves) == 1:
        return picture(plots.curve_png(curves[0]), alt=alt)
    names = [curve.path.split("/")[-1] for curve in curves]
    shown = plots.overlay_png(curves, names, title=f"{curves[0].signal.long_name}, means")
    return picture(shown, alt=alt)


def _table_of_groups(groups: Sequence[GroupSummary], names: Sequence[str]) -> str:
    keys = list(dict.fromkeys(key for group in groups for key in group.values))
    labels = {name: g.numbers[name] for g in groups for name in names if name in g.numbers}
    units = {key: f" [{unit}]" for group in groups for key, unit in group.units.items() if unit}
    head = [(key_text(key) + units.get(key, ""), "") for key in keys] or [("group", "")]
    head += [("runs", ""), ("shots", "")]
    for name in names:
        unit = f" [{labels[name].units}]" if labels[name].units else ""
        head += [(labels[name].label + unit, "mean ± standard error"), ("runs ±", "")]
    rows = []
    for group in groups:
        row = [_value(group, key) for key in keys] or [group.name]
        row += [str(len(group.runs)), str(group.n_shots)]
        for name in names:
            row += _cells(group.numbers.get(name))
        rows.append(row)
    return table(head, rows, "n" * len(head))


def _value(group: GroupSummary, key: str) -> str:
    """What a group is of, in one key; a run by its scan number."""
    if key == "run" and group.scan is not None:
        return f"scan {group.scan}"
    return value_text(group.values.get(key))


def _cells(numbers: Numbers | None) -> list[str]:
    if numbers is None:
        return [NOTHING, NOTHING]
    spread = NOTHING if numbers.std_of_runs is None else two_digits(numbers.std_of_runs)
    return [with_error(numbers.mean, numbers.sem), spread]


def _drift(name: str, told: Told) -> str:
    """The means of the runs, of all groups: what goes on from run to run."""
    of_groups = [
        (group, read_results(path, ["means_of_runs"]).get(f"means_of_runs/{name}"))
        for group, path in _spread(list(zip(told.groups, told.files, strict=True)), MOST_CURVES)
    ]
    there = [(group, curve) for group, curve in of_groups if curve is not None]
    if not there:
        return ""
    values, key = _values([group for group, _ in there])
    title = f"{there[0][1].signal.long_name}: mean of each run"
    names = [group.label for group, _ in there]
    shown = plots.overlay_png([c for _, c in there], names, values, key, title)
    return picture(shown, alt=title)


def _values(groups: Sequence[GroupSummary]) -> tuple[list[float] | None, str]:
    """The number by which groups are coloured, and what it is; None where they make no series."""
    series = series_of(groups)
    axis = series[0].x
    if len(series) > 1 or axis.values.dtype.kind not in "iuf" or not np.isfinite(axis.values).all():
        return None, ""
    by_name = {g.name: float(v) for g, v in zip(series[0].groups, axis.values, strict=True)}
    return [by_name[group.name] for group in groups], axis.label


def _images(told: Told) -> list[str]:
    """The sum of each group on each detector, and what else is an image of so many frames."""
    shown = []
    chosen = _spread(list(zip(told.groups, told.files, strict=True)), MOST_IMAGES)
    for group, path in chosen:
        for image in read_results(path, ndim=2).values():
            if "n_frames" in image.attributes:
                title = f"{group.label}: {image.attributes['n_frames']} frames"
                below = image.path.replace("/", " on ")
                alt = f"{below}, of {group.label}"
                shown.append(picture(plots.image_png(image, title), below, alt=alt, photo=True))
    if not shown:
        return []
    return [*_left_out(len(chosen), len(told.groups)), cards(shown, 340)]


def _left_out(n_shown: int, n: int) -> list[str]:
    text = f"{n_shown} of {n} groups are shown, spread evenly; all are in their files."
    return [words(text, "faint")] if n_shown < n else []


def _curves(told: Told) -> list[str]:
    """I(q), and what else is a curve of a whole group, of all groups on one another."""
    chosen = _spread(list(zip(told.groups, told.files, strict=True)), MOST_CURVES)
    of_groups = [(group, whole_curves(path)) for group, path in chosen]
    found = _overlays(of_groups, "of each group")
    return [*_left_out(len(chosen), len(told.groups)), *found] if found else []


def _overlays(
    of_groups: Sequence[tuple[GroupSummary, Mapping[str, DataGroup]]], what: str
) -> list[str]:
    found = []
    for path in dict.fromkeys(path for _, curves in of_groups for path in curves):
        there = [(group, curves[path]) for group, curves in of_groups if path in curves]
        values, key = _values([group for group, _ in there])
        title = f"{there[0][1].title.partition(',')[0]} {what}"
        curves = [curve for _, curve in there]
        names = [group.label for group, _ in there]
        shown = plots.overlay_png(curves, names, values, key, title, wide=True)
        found.append(picture(shown, alt=title))
    return found


def _reference(told: Told) -> str:
    """What the group is called that others are compared with."""
    return next((group.label for group in told.groups if group.name == told.reference), "")


def _differences(told: Told) -> list[str]:
    """What groups have more, or less, than the reference."""
    by_name = {group.name: group for group in told.groups}
    there = [(by_name[name], path) for name, path in told.differences.items() if name in by_name]
    if not there:
        return []
    chosen = _spread(there, MOST_CURVES)
    of_curves, images = [], []
    shown = {group.name for group, _ in _spread(there, MOST_IMAGES)}
    for group, path in chosen:
        of_curves.append((group, read_results(path, ndim=1)))
        for image in read_results(path, ndim=2).values() if group.name in shown else ():
            alt = f"the mean frame of {group.label} less that of {_reference(told)}"
            png = plots.difference_png(image, f"{group.label} less {_reference(told)}")
            images.append(picture(png, str(image.attributes.get("detector", "")), alt=alt))
    body = _table_of_differences(told)
    body += [words(_INDEPENDENT, "faint")] if body else []
    body += _overlays(of_curves, f"less that of {_reference(told)}")
    if images:
        body += _left_out(len(shown), len(there))
        body.append(
            words("Mean frames, each less that of the reference: red is more, blue less.", "faint")
        )
        body.append(cards(images, 340))
    return body


def _table_of_differences(told: Told) -> list[str]:
    reference = next((group for group in told.groups if group.name == told.reference), None)
    if reference is None or not reference.numbers:
        return []
    names = list(reference.numbers)[:MOST_NUMBERS]
    head = [("group", "")]
    for name in names:
        head += [(reference.numbers[name].label, "difference ± standard error"), ("", "in errors")]
    rows = []
    for group in told.groups:
        if group is reference:
            continue
        row = [group.label]
        for name in names:
            mine = group.numbers.get(name)
            of = (None, None) if mine is None else difference_of(mine, reference.numbers[name])
            row += [
                with_error(*of),
                f"{of[0] / of[1]:+.1f}" if of[0] is not None and of[1] else NOTHING,
            ]
        rows.append(row)
    return [table(head, rows, "l" + "n" * (len(head) - 1))]


def _broken(told: Told) -> list[str]:
    """The runs that could not be read, and why."""
    rows = [
        [
            NOTHING if one["scan_id"] is None else str(one["scan_id"]),
            (one["uid"] or NOTHING)[:8],
            one["reason"],
            one["source"],
        ]
        for one in told.record["broken"]
    ]
    if not rows:
        return []
    head = [("scan", ""), ("run", ""), ("reason", ""), ("where it was read", "")]
    return [
        words("Nothing of these runs is in any number, image or curve above."),
        table(head, rows, "nltt"),
    ]


def _provenance(told: Told) -> list[str]:
    """Code, settings, runs, and the command."""
    record = told.record
    runs = [
        [
            NOTHING if run["scan_id"] is None else str(run["scan_id"]),
            run["uid"][:8],
            moment(run["time"]),
            str(run["n_shots"]),
            run["exit_status"],
            run["source"],
        ]
        for run in record["runs"]
    ]
    head = [(name, "") for name in ("scan", "run", "time (UTC)", "shots", "ended", "source")]
    settings = yaml.safe_dump(dict(record["settings"]), sort_keys=False, allow_unicode=True)
    return [
        facts([(name, version) for name, version in record["versions"].items()]),
        words("This makes it again, in another directory:"),
        code(record["command"]),
        folded("Settings, as they were used", code(settings)),
        folded(f"The {counted(len(runs), 'run')} in the results", table(head, runs, "nllnlt")),
    ]


def _spread(things: list[Any], most: int) -> list[Any]:
    """At most so many of them, spread evenly, the first and the last among them."""
    if len(things) <= most:
        return things
    places = np.unique(np.linspace(0, len(things) - 1, most).round().astype(int))
    return [things[place] for place in places]
