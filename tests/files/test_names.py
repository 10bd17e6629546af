"""Names of files: nothing is overwritten, and a free name is found."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from femto_bluesky.files.names import (
    OutputError,
    OutputExistsError,
    check_free,
    new_file,
    new_path,
)


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_name_that_is_taken_is_named_with_what_to_do(tmp_path):
    (tmp_path / "a.h5").symlink_to("nowhere")
    with pytest.raises(OutputExistsError, match=r"a\.h5 exists already.*choose another name"):
        check_free(tmp_path / "a.h5")
    with pytest.raises(OutputError, match=r"the folder .*nowhere does not exist; create it"):
        check_free(tmp_path / "nowhere" / "a.h5")
    check_free(tmp_path / "b.h5")
    assert listed(tmp_path) == ["a.h5"]


@pytest.mark.parametrize("has_links", [True, False])
def test_a_file_that_appears_in_the_meantime_stays_too(tmp_path, monkeypatch, has_links):
    if not has_links:
        monkeypatch.setattr(os, "link", no_links)
    path = tmp_path / "a.txt"

    def write_beside_another():
        with new_file(path) as part:
            part.write_text("ours")
            path.write_text("theirs")

    with pytest.raises(OutputExistsError, match="exists already"):
        write_beside_another()
    assert path.read_text() == "theirs"
    assert listed(tmp_path) == ["a.txt"]


def no_links(*_):
    raise OSError(errno.EPERM, "Operation not permitted")


def test_the_first_free_name_is_found_and_said(tmp_path, caplog):
    assert new_path(tmp_path, "scan_7", ".h5") == tmp_path / "scan_7.h5"
    assert caplog.messages == []
    (tmp_path / "scan_7.h5").touch()
    (tmp_path / "scan_7_2.h5").symlink_to("nowhere")
    assert new_path(tmp_path, "scan_7", "h5") == tmp_path / "scan_7_3.h5"
    assert "scan_7.h5 exists already and is kept; writing" in caplog.messages[0]


def test_a_reserved_name_is_nobody_elses(tmp_path):
    names = {new_path(tmp_path, "run", "jsonl", reserve=True).name for _ in range(3)}
    assert names == {"run.jsonl", "run_2.jsonl", "run_3.jsonl"} == set(listed(tmp_path))


@pytest.mark.parametrize("stem", ["", "..", "a/b", "a\0b"])
def test_a_stem_that_is_no_name_is_refused(tmp_path, stem):
    with pytest.raises(OutputError, match="cannot be the name of a file; give one without"):
        new_path(tmp_path, stem, ".h5")
