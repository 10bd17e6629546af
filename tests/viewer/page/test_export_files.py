"""The files that can be saved, read back."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.files import xye
from femto_bluesky.viewer import ResultsServer
from femto_bluesky.viewer.page.exports import menu
from tests.viewer.browser.beam import POWDER_GEOMETRY, Beam, photons, powder
from tests.viewer.shown import ROIS, ask


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where files are made."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def table(text: bytes) -> tuple[list[str], list[str], Any]:
    lines = text.decode().splitlines()
    head = [line for line in lines if line.startswith("#")]
    rows = list(csv.reader(line for line in lines if not line.startswith("#")))
    return head, rows[0], np.array(rows[1:], float)


def test_each_kind_of_file(
    files: Path, tmp_path: Path, started: Callable[..., ResultsServer]
) -> None:
    live = LiveAnalysis(
        ROIS, geometries={"pilatus": POWDER_GEOMETRY}, directory=tmp_path / "results"
    )
    at = started(live).address
    assert ask(at, "/export/results.h5").status == 404
    assert "no steps yet" in ask(at, "/export/steps.csv").words
    beam = Beam(live, {"pilatus": powder(), "andor3_balor": photons()})
    first = beam.scan((0.0, 1.0))
    beam.scan((5.0, 6.0, 7.0))
    found = live.rois.result()

    reply = ask(at, "/export/results.h5")
    assert reply.headers["content-disposition"] == 'attachment; filename="scan_2.h5"'
    with h5py.File(io.BytesIO(reply.body)) as file:
        entry = file["entry"]
        means = entry["step_means/pilatus_ROI_2"]
        assert means["mean"][:].tolist() == found["pilatus_ROI_2_mean"].tolist()
        assert means["delay"].attrs["units"] == "ps"
        assert entry["accumulated/pilatus/image"].shape == (120, 160)
        assert "ROI 2" in entry["accumulated/pilatus/rois"][()].decode()
        assert entry["scan_id"][()] == 2
        assert entry["azimuthal/pilatus"].attrs["NX_class"] == "NXdata"

    head, names, rows = table(ask(at, "/export/steps.csv").body)
    assert head[1].startswith("# Scan 2: scan, ")
    assert names[:2] == ["delay [ps]", "n_shots"]
    assert rows[:, 0].tolist() == [5, 6, 7]
    column = names.index("pilatus_ROI_2_mean")
    assert rows[:, column].tolist() == found["pilatus_ROI_2_mean"].tolist()

    path = "/export/csv/step_means/pilatus_ROI_2.csv"
    head, names, rows = table(ask(at, f"{path}?run={first}").body)
    assert head[0] == "# ROI 2 on pilatus, mean of each step"
    assert names[:3] == [
        "delay [ps]", "mean [counts/pixel]", "std of the shots [counts/pixel]",
    ]  # fmt: skip
    assert rows[:, 0].tolist() == [0, 1]
    _, names, rows = table(ask(at, "/export/csv/azimuthal_of_steps/pilatus.csv").body)
    assert (rows.shape[0], rows.shape[1]) == (3, len(names))
    assert rows[:, 0].tolist() == [5, 6, 7]

    reply = ask(at, "/export/png/accumulated/pilatus.png")
    assert 'filename="scan_2_accumulated_pilatus.png"' in reply.headers["content-disposition"]
    assert "Sum of 10 images" in Image.open(io.BytesIO(reply.body)).text["Title"]

    _, names, rows = table(ask(at, f"/export/photons/0.csv?run={first}").body)
    expected = xye.read(next((tmp_path / "results").glob("scan_1_*xye.h5")))
    assert names == ["y [px]", "x [px]", "energy [adu]", "frame"]
    assert rows[:, 2] == pytest.approx(expected["energy"], abs=0.01)
    assert len(rows) > 20

    missing = ask(at, "/export/csv/step_means/none.csv")
    assert missing.status == 404
    assert "there are accumulated/pilatus" in missing.words
    assert ask(at, "/export/results.h5?run=none").status == 404
    assert ask(at, "/export/photons/9.csv").status == 404
    assert ask(at, "/export/png/../../etc/passwd.png").status == 404
    assert list(files.iterdir()) == []


def test_the_menu_names_what_there_is() -> None:
    html = menu(
        [("pilatus: sum <1>", "accumulated/pilatus")], ["step_means/a_<b>"], run="u u",
        photons=["scan_1_xye.h5"],
    )  # fmt: skip
    assert 'href="export/png/accumulated/pilatus.png?run=u%20u" download' in html
    assert 'href="export/csv/step_means/a_%3Cb%3E.csv?run=u%20u"' in html
    assert "sum &lt;1&gt;" in html
    assert "<b>" not in html
    assert "export/photons/0.csv" in html
