from __future__ import annotations

import pytest

from femto_bluesky.console.opened_catalog import open_for
from femto_bluesky.console.settings import BeamlineSettings
from tests.profiles.prompt import SMALL


def settings(folder, catalog=None):
    return BeamlineSettings.model_validate({**SMALL, "directory": folder, "catalog": catalog})


def test_the_catalog_of_the_settings_is_opened(tmp_path):
    opened = open_for(settings(tmp_path, f"lines:{tmp_path / 'runs'}"))
    assert opened.problem == ""
    assert opened.catalog.where == f"the JSON lines in {tmp_path / 'runs'}"


@pytest.mark.parametrize(
    ("catalog", "words", "to"),
    [
        ("http://127.0.0.1:9", "no Tiled catalog at http://127.0.0.1:9", "http://127.0.0.1:9"),
        ("nowhere", "is neither a directory nor a URL nor a Tiled profile", "nowhere"),
        (None, "", "catalog:"),
    ],
)
def test_one_that_cannot_be_opened_stops_nobody(tmp_path, catalog, words, to):
    (tmp_path / "catalog").write_text("a file is in the way")
    opened = open_for(settings(tmp_path, catalog))
    assert opened.catalog.where == f"the JSON lines in {tmp_path / 'lines'}"
    assert words in opened.problem
    assert "when no prompt has the catalog" in opened.problem
    assert f"femto-bluesky upload {tmp_path / 'lines'} --to {to}" in opened.problem
