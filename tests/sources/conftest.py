"""Catalogs that are made quickly."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from femto_bluesky.sources.catalogs import embedded


@pytest.fixture(scope="session", autouse=True)
def empty_databases_are_copies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Of the first one: Tiled takes seconds to make an empty database, and each is as the other.

    Those that are made in processes of their own are made by Tiled.
    """
    template = tmp_path_factory.mktemp("template") / embedded.DATABASE
    connect = embedded._connect

    def connect_to_copy(directory: Path) -> Any:
        if not (directory / embedded.DATABASE).exists():
            if not template.exists():
                connect(template.parent)[0].close()
            shutil.copyfile(template, directory / embedded.DATABASE)
        return connect(directory)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded, "_connect", connect_to_copy)
        yield
