"""Lines that wait for a disk that is full."""

from __future__ import annotations

import pytest

from femto_bluesky.files import lines as files_lines
from femto_bluesky.files.lines import PatientLines
from femto_bluesky.files.names import OutputError
from tests.disks import size_limit


def new(path):
    return PatientLines(lambda: path.open("xb", buffering=0))


def test_lines_are_in_the_file_at_once(tmp_path):
    lines = new(tmp_path / "a")
    for text in ("one\n", "zwei µ\n"):
        lines.write(text)
    assert (tmp_path / "a").read_text() == "one\nzwei µ\n"
    lines.close()
    lines.close()


def test_lines_wait_for_room_and_none_is_cut(tmp_path, caplog):
    """The disk takes a part of the second line."""
    lines = new(tmp_path / "a")
    with size_limit(15):
        for n in range(4):
            lines.write(f"{n}" * 9 + "\n")
            assert (tmp_path / "a").read_text() == "000000000\n"
        assert "File too large" in lines.problem or "No space left" in lines.problem
    lines.write("last\n")
    assert lines.problem == ""
    lines.close()
    expected = "".join(f"{n}" * 9 + "\n" for n in range(4)) + "last\n"
    assert (tmp_path / "a").read_text() == expected
    assert caplog.text.count("documents wait in memory until they can be written") == 1
    assert caplog.text.count("documents are written again, and those that waited are") == 1


def test_a_file_that_cannot_be_begun_is_begun_later(tmp_path):
    lines = new(tmp_path / "later" / "a")
    lines.write("one\n")
    assert "No such file" in lines.problem
    (tmp_path / "later").mkdir()
    lines.close()
    assert (tmp_path / "later" / "a").read_text() == "one\n"


def test_what_was_not_written_is_told_at_the_end(tmp_path):
    lines = new(tmp_path / "a")
    with size_limit(5):
        lines.write("one\n")
        lines.write("two\n")
        lines.write("three\n")
        with pytest.raises(OutputError, match=r"2 lines were not written: .*(No space|too large)"):
            lines.close()
    assert (tmp_path / "a").read_text() == "one\n"
    with pytest.raises(OutputError, match=r"1 lines were not written: .*No such file"):
        _with_one_line(new(tmp_path / "nowhere" / "a"))


def _with_one_line(lines):
    lines.write("one\n")
    lines.close()


def test_memory_is_bounded_and_no_line_follows_one_that_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(files_lines, "WAITING_BYTES", 10)
    lines = new(tmp_path / "a")
    with size_limit(5):
        for text in ("one\n", "two\n", "three\n", "four\n"):
            lines.write(text)
    lines.write("five\n")
    with pytest.raises(OutputError, match="2 lines were not written"):
        lines.close()
    assert (tmp_path / "a").read_text() == "one\ntwo\nthree\n"
