"""One scan in every form that its documents can take gives the same frames, or a refusal."""

from __future__ import annotations

import logging

import pytest

from femto_bluesky.testing.documents import Recorder, split_runs
from femto_bluesky.testing.replayed import NotStorableError
from tests.stream.scans import (
    SITUATIONS,
    SOURCES,
    Seen,
    Unreported,
    assert_valid,
    primary_rows,
    run_scan,
    true_rows,
    without_report,
)

STYLES = ["inline", "datum", "tiff", "stream"]
TAKEN_AGAIN = {
    "rewind", "rewind of the first", "rewind of the last", "deep rewind", "two detectors",
    "single frames", "interleaved",
}  # fmt: skip
OTHER_LENGTHS = {"short burst", "changing bursts", "reconfigured"}


def expected(situation, style, source, reported):
    """The same as the truth ("same"), or the words of a refusal."""
    if source == "merged":
        if style == "inline" and situation in OTHER_LENGTHS:
            return "not storable"
        if style == "tiff":
            # the first digits in the files' names are not their number
            return "not storable" if situation == "reconfigured" else "expected a template"
        if style == "inline" and situation in TAKEN_AGAIN | {"lost burst"}:
            if reported:
                return "says that its burst begins with frame"
            # nothing in the documents tells; a lost burst does no harm
            return "same" if situation == "lost burst" else "unknowable"
    if situation == "deep rewind" and style == "inline" and source != "jsonl":
        return "stood in the document and are gone"
    if reported or style == "inline":
        return "same"
    if situation in OTHER_LENGTHS:
        if source == "live":
            return "event 2 needs the frames 3 to 5, found 5 in the file"
        if situation == "short burst":
            return "found 8 frames in the file, expected 9 (3 events of 3 frames)"
        if situation == "reconfigured":
            return "found bursts of [3, 2, 4] frames in the detector's configuration"
        return "unknowable"  # 3 + 2 + 4 frames are as many as 3 + 3 + 3
    if source == "merged":
        if situation in TAKEN_AGAIN or (situation == "lost burst" and style == "stream"):
            return "one for each event: a burst was taken again after a pause"
        if situation in {"lost burst", "stop before read", "abort before read"}:
            return "a burst was short or lost"
    if situation == "never stopped" and source not in {"live", "jsonl", "merged"}:
        return "held"  # its end must show that the counts agree
    return "same"


def outcome(seen, recorder, truth):
    """What became of a scan: "same", "held", the words of a refusal, or "WRONG"."""
    assert_valid(recorder.documents)
    if seen.failures:
        return str(seen.failures[0])
    found = seen.result()
    if found == truth:
        rows = {run[0][1]["original_run_uid"]: primary_rows(run) for run in split(recorder)}
        assert rows == {uid: true_rows(steps) for uid, steps in truth.items()}
        return "same"
    is_part = all(found.get(uid, []) == truth[uid][: len(found.get(uid, []))] for uid in truth)
    return "held" if is_part else "WRONG"


def split(recorder):
    return split_runs(recorder.documents)


def agree(found, wanted):
    return wanted == "unknowable" or (found == wanted if wanted in ALL else wanted in found)


ALL = {"same", "held", "not storable"}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("situation", [*SITUATIONS, "interleaved", "never stopped"])
def test_every_form_of_a_scan_gives_the_true_frames(situation, style, tmp_path, caplog):
    caplog.set_level(logging.CRITICAL)
    pairs = {reported: (Seen(), Recorder()) for reported in (True, False)}
    for seen, recorder in pairs.values():
        seen.subscribe(recorder)
    raw = Recorder()
    scan = run_scan(
        situation, style, tmp_path / "frames",
        raw=raw, reported=pairs[True][0], unreported=Unreported(pairs[False][0]),
    )  # fmt: skip
    truth = scan.truth()
    assert truth
    assert all(truth.values())
    table = {("live", reported): outcome(*pair, truth) for reported, pair in pairs.items()}

    for number, (source, form) in enumerate(SOURCES.items()):
        for reported in (True, False):
            docs = scan.documents
            if not reported:
                docs = [(name, without_report(name, doc)) for name, doc in docs]
            folder = tmp_path / f"{number}-{reported}"
            folder.mkdir()
            try:
                docs = form(docs, folder)
            except NotStorableError:
                table[source, reported] = "not storable"
                continue
            seen, recorder = Seen(), Recorder()
            seen.subscribe(recorder)
            for name, doc in docs:
                seen(name, doc)
            table[source, reported] = outcome(seen, recorder, truth)

    wanted = {key: expected(situation, style, *key) for key in table}
    assert {key: found for key, found in table.items() if not agree(found, wanted[key])} == {}
    raw.assert_unchanged()
    for words in table.values():
        if words not in ALL | {"WRONG"}:
            is_inline_again = "stood in the document" in words
            assert is_inline_again or (
                "run " in words and "stream 'primary', key '" in words and "_image'" in words
            )
            assert "found" in words or "says" in words or is_inline_again
            assert "expected" in words
            assert ";" in words, "no remedy"


def test_the_table_of_situations_holds_what_it_says():
    """A test of the test: were every outcome "same", the refusals would be proved by nothing."""
    refused = {
        (situation, style, source, reported)
        for situation in SITUATIONS
        for style in STYLES
        for source in ("live", *SOURCES)
        for reported in (True, False)
        if expected(situation, style, source, reported) not in ALL
    }
    assert ("rewind", "stream", "merged", False) in refused
    assert not any(
        reported and source in {"list", "json", "jsonl", "pages of 2", "pages of 3"}
        for situation, style, source, reported in refused
        if (situation, style) != ("deep rewind", "inline")
    )
