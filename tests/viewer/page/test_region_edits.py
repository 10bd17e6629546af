"""What can be done to regions; each is done to the regions as they are then."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from femto_bluesky.model.rois import Roi, RoiError
from femto_bluesky.viewer.page import region_edits as edits

A, B = Roi(x0=1, y0=2, x1=5, y1=6), Roi(x0=0, y0=0, x1=3, y1=3, detector="pilatus")
REGIONS = {"ROI 1": A, "b": B}


def test_a_new_one_has_the_first_free_name() -> None:
    after, name = edits.add(REGIONS, B)
    assert (name, after) == ("ROI 2", {**REGIONS, "ROI 2": B})
    assert edits.first_free_name({"roi 1": A, "ROI 3": A}) == "ROI 2"
    assert edits.copy(REGIONS, "b") == ({**REGIONS, "ROI 2": B}, "ROI 2")


def test_a_name_is_changed_in_its_place() -> None:
    after, name = edits.rename(REGIONS, "ROI 1", " c ")
    assert (list(after.items()), name) == ([("c", A), ("b", B)], "c")
    assert edits.rename(REGIONS, "b", "b")[0] == REGIONS
    with pytest.raises(RoiError, match="there is a region 'b' already"):
        edits.rename(REGIONS, "ROI 1", "b")
    with pytest.raises(RoiError, match="needs a name"):
        edits.rename(REGIONS, "b", "  ")


def test_edges_are_changed_and_the_rest_stays() -> None:
    after, _ = edits.change(REGIONS, "b", {"x1": "7", "y0": 1})
    assert after == {"ROI 1": A, "b": Roi(x0=0, y0=1, x1=7, y1=3, detector="pilatus")}
    with pytest.raises(ValidationError, match="x1 must be above x0"):
        edits.change(REGIONS, "ROI 1", {"x0": 5})


def test_nothing_is_shifted_beyond_the_first_row_and_column() -> None:
    shifted = edits.shift(REGIONS, "ROI 1", -10, 3)[0]["ROI 1"]
    assert shifted == Roi(x0=0, y0=5, x1=4, y1=9)
    assert edits.shift(REGIONS, "b", -1, -1)[0]["b"] == B


def test_what_was_deleted_meanwhile_is_said() -> None:
    after, _ = edits.delete(REGIONS, "b")
    assert after == {"ROI 1": A}
    # whoever else deletes it has what they want
    assert edits.delete(after, "b")[0] == after
    for edit in (edits.shift, edits.copy, edits.rename, edits.change):
        given = {edits.shift: (1, 1), edits.copy: ()}.get(edit, ({},))
        with pytest.raises(RoiError, match=r"no region 'b' any more.*there are: 'ROI 1'"):
            edit(after, "b", *(given if edit is not edits.rename else ("c",)))


def test_those_of_a_file_stay_on_their_detector() -> None:
    others = {"b": Roi(x0=4, y0=4, x1=5, y1=5), "c": A}
    after, name = edits.take_in(REGIONS, others)
    assert after == {
        "ROI 1": A, "b": Roi(x0=4, y0=4, x1=5, y1=5, detector="pilatus"), "c": A
    }  # fmt: skip
    assert name == "b"
