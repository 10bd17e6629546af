"""The report: what it says of groups, differences, broken runs; it needs nothing beside it."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from femto_bluesky.files.results import write_results
from femto_bluesky.model.results import DataGroup, Quantity
from femto_bluesky.reprocess import report_plots
from femto_bluesky.reprocess.report import report
from femto_bluesky.reprocess.report_words import counted, duration, with_error
from femto_bluesky.reprocess.summary import GroupSummary, Numbers
from femto_bluesky.reprocess.summary_curves import Told

RUNS = [
    {"uid": f"{n}abcdef0-run", "scan_id": n, "time": 1e9 + n, "n_shots": 4,
     "exit_status": "success", "source": f"scan_{n}.jsonl"}
    for n in (1, 2)
]  # fmt: skip
RECORD = {
    "work": "w0rk", "command": "femto-bluesky reprocess 'a b.jsonl' --out c", "group_by": "delay",
    "versions": {"femto_bluesky": "0.1.0", "numpy": "2"}, "analysis": {"name": "LiveAnalysis"},
    "settings": {"rois": {"<ring> & co": {"x0": 1}}}, "runs": RUNS,
    "broken": [
        {"uid": "0123456789", "scan_id": 7, "source": "s.jsonl", "reason": "<b>no such file</b>"},
        {"uid": None, "scan_id": None, "source": "torn.jsonl", "reason": "no JSON"},
    ],
}  # fmt: skip


def numbers(mean, sem=0.0123):
    return Numbers("<ring> & co", "mean", "counts/pixel", mean, 0.2, sem, 8, 2, 0.05)


def curve(path, title, n=50, n_frames=8):
    q = Quantity("q", np.linspace(1, 3, n), "1/angstrom")
    signal = Quantity("intensity", np.linspace(1, 2, n), "counts/pixel")
    return DataGroup(
        path, title, signal, (q,), errors=np.full(n, 0.1), attributes={"n_frames": n_frames}
    )


def image(path, title, shape=(20, 30)):
    pixels = np.arange(np.prod(shape), dtype=float).reshape(shape)
    axes = tuple(Quantity(a, np.arange(s), "px") for a, s in zip("yx", shape, strict=True))
    return DataGroup(
        path, title, Quantity("image", pixels), axes, mask=pixels < 3,
        attributes={"n_frames": 8, "detector": "pilatus"},
    )  # fmt: skip


def drift():
    signal = Quantity("mean", np.array([1.0, 2.0]), "counts/pixel", "<ring> & co")
    axis = Quantity("scan_id", np.array([1, 2]), long_name="scan")
    return DataGroup("means_of_runs/ring", "ring, mean of each run", signal, (axis,))


def told(folder, delays, **said):
    groups, files = [], []
    for delay in delays:
        name = f"delay={delay:g}"
        values = {"ring": numbers(1 + delay)}
        groups.append(GroupSummary(name, {"delay": delay}, 8, RUNS, values, {"delay": "ps"}))
        files.append(folder / f"{name}.h5")
        results = [image("accumulated/pilatus", name), curve("azimuthal/pilatus", "I(q)"), drift()]
        write_results(files[-1], results, title=name, start={})
    return Told(RECORD, groups, files, n_workers=3, seconds=2.0, **said)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The report of three groups, with differences from the first."""
    folder = tmp_path_factory.mktemp("report")
    apart = {}
    for delay in (0.5, 1.0):
        path = folder / f"difference_{delay}.h5"
        results = [
            image("differences/pilatus", "difference"),
            curve("azimuthal_differences/pilatus", "I(q)"),
        ]
        write_results(path, results, title="", start={})
        apart[f"delay={delay:g}"] = path
    return report(told(folder, (-1.0, 0.5, 1.0), reference="delay=-1", differences=apart))


class Reader(HTMLParser):
    """The text, and whether every element is closed."""

    def __init__(self, page):
        super().__init__()
        self.open, self.text, self.images = [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.images.append(dict(attrs))
        elif tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


def test_it_is_one_page_that_needs_nothing_else(page):
    read = Reader(page)
    assert read.open == []
    assert not re.findall(r"(?:src|href)=[\"'](?!data:image|#)|url\(|@import|<script", page)
    # means, drift, three images, I(q), its differences, and two images of differences
    assert len(read.images) == 9
    for shown in read.images:
        kind, _, content = shown["src"].partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(content).startswith(b"\x89PNG")
        assert shown["alt"]
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page


def test_it_says_what_was_done(page):
    words = Reader(page).words
    assert "2 runs in 3 groups" in words
    assert "24 shots of 2 runs (scans 1 to 2, 2001-09-09 01:46 UTC)" in words.replace(
        "01:46 to 2001-09-09 01:46", "01:46"
    )
    assert "analysed again with LiveAnalysis and put together by delay" in words
    assert "2 runs could not be read and are in no result" in words
    assert "It took 2 s with 3 workers (12 shots a second)" in words
    assert RECORD["command"] in words


def test_numbers_stand_with_their_errors(page):
    words = Reader(page).words
    assert "delay [ps] runs shots <ring> & co [counts/pixel] mean ± standard error" in words
    assert "0.5 2 8 1.500 ± 0.012 0.05" in words
    # 1.5 less 0, with twice the variance
    assert "delay=0.5 1.500 ± 0.017 +86.2" in words


def test_text_of_others_is_shown_and_not_obeyed(page):
    assert "<b>no such file</b>" not in page
    words = Reader(page).words
    assert "7 01234567 <b>no such file</b> s.jsonl" in words
    assert "torn.jsonl" in words


def test_of_many_groups_some_are_shown_and_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("femto_bluesky.reprocess.report.MOST_IMAGES", 2)
    monkeypatch.setattr(report_plots, "image_png", lambda group, title: b"")
    monkeypatch.setattr(report_plots, "overlay_png", lambda *a, **k: b"")
    monkeypatch.setattr(report_plots, "curve_png", lambda group: b"")
    page = report(told(tmp_path, (0.0, 1.0, 2.0)))
    assert "2 of 3 groups are shown, spread evenly; all are in their files." in page
    assert 'accumulated on pilatus, of delay=0"' in page
    assert 'accumulated on pilatus, of delay=2"' in page
    assert 'of delay=1"' not in page
    assert "Differences from" not in page


def test_nothing_at_all_is_a_report_too(tmp_path):
    record = {**RECORD, "runs": [], "group_by": ""}
    page = report(Told(record, [], []))
    assert "0 runs in 0 groups" in page
    assert "torn.jsonl" in page


def test_a_difference_image_is_binned_by_its_mean():
    values = np.zeros((4, 4))
    values[0, 0], values[1, 1], values[2:, 2:] = 4, -4, 8
    valid = np.ones((4, 4), bool)
    valid[2, 2] = valid[0, 3] = False
    found = report_plots._binned(values, valid, 2)
    assert found.tolist() == [[0, 0], [0, 8]]
    none = report_plots._binned(values, np.zeros((4, 4), bool), 2)
    assert none.mask.all()


@pytest.mark.parametrize("shape", [(3, 900), (900, 3)])
def test_images_of_any_shape_are_drawn(shape):
    for png in (
        report_plots.image_png(image("accumulated/d", "", shape), "a title " * 9),
        report_plots.difference_png(image("differences/d", "", shape), "a title"),
    ):
        assert png.startswith(b"\x89PNG")


def test_errors_have_two_digits():
    assert with_error(0.066757, 0.0022) == "0.0668 ± 0.0022"
    assert with_error(123456.0, 789.0) == "123456 ± 789"
    assert with_error(None, None) == with_error(float("nan"), 1.0) == "\N{EN DASH}"
    assert with_error(1.0, float("inf")) == "1"
    assert with_error(1.0, 0.0) == "1"
    assert counted(1, "run") == "1 run"
    assert counted(12345, "shot") == "12\N{NARROW NO-BREAK SPACE}345 shots"
    assert [duration(s) for s in (1.234, 600, 9000)] == ["1.23 s", "10 min", "2 h 30 min"]
