"""Identifiers, and objects as their holders know them."""

from __future__ import annotations

import uuid

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from femto_bluesky.viewer import h5json
from femto_bluesky.viewer.identifiers import LARGEST, ObjectId
from femto_bluesky.viewer.tree import Dataset, NotInTreeError, Tree, TreeGroup, identify, walk

SHAPES = st.lists(st.integers(0, LARGEST), max_size=2).map(tuple)


@given(st.text(), SHAPES, st.booleans())
def test_an_identifier_says_all(path: str, shape: tuple[int, ...], is_group: bool) -> None:
    found = ObjectId.of(path, shape, is_group=is_group)
    text = str(found)
    assert ObjectId.parse(text) == found
    assert len(text) == 38
    assert str(uuid.UUID(text[2:])) == text[2:]
    assert text[0] == ("g" if is_group else "d")


@given(st.text(max_size=50))
def test_other_texts_are_none(text: str) -> None:
    assert ObjectId.parse(text) is None


def test_a_shape_that_has_no_place() -> None:
    with pytest.raises(ValueError, match="2 dimensions of 32 bits are allowed"):
        ObjectId.of("/a", (1, 2, 3), is_group=False)
    with pytest.raises(ValueError, match="at most 2 can be published"):
        Dataset(np.zeros((1, 2, 3)))
    assert ObjectId.parse("d-00000000-0000-0003-0000-000000000000") is None


def plot(n: int) -> Tree:
    columns = {"y": np.arange(n, dtype=float), "x": np.arange(n), "z": np.ones((n, 4))}
    members = {name: Dataset(values, grows=True) for name, values in columns.items()}
    members["title"] = Dataset(np.array("a title"))
    return Tree(
        TreeGroup({"plot": TreeGroup(members, length=n), "image": Dataset(np.zeros((n, 3)))})
    )


@given(st.integers(0, 9), st.integers(0, 9))
def test_what_has_grown_fits_what_was_seen(before: int, now: int) -> None:
    old, new = plot(before), plot(now)
    group = identify("/plot", old["/plot"])
    if now < before:
        with pytest.raises(NotInTreeError, match="has shrunk since it was looked up"):
            new.find(group)
        return
    path, found = new.find(group)
    assert path == "/plot"
    assert isinstance(found, TreeGroup)
    lengths = {name: member.values.shape for name, member in found.members.items()}
    assert lengths == {"y": (before,), "x": (before,), "z": (before, 4), "title": ()}
    for name, member in found.members.items():
        _, again = new.find(identify(f"/plot/{name}", member))
        np.testing.assert_array_equal(again.values, member.values)
        np.testing.assert_array_equal(again.values, old[f"/plot/{name}"].values)


def test_every_object_is_found_by_its_identifier() -> None:
    tree = plot(3)
    paths = [path for path, _ in walk(tree.root)]
    assert len(paths) == 7
    for path in paths:
        node = tree[path]
        assert tree.find(identify(path, node)) == (path, node)
    with pytest.raises(NotInTreeError, match="there is no '/plot/w' among the results"):
        tree["/plot/w"]


def test_memory_is_shared_and_cannot_be_written() -> None:
    values = np.arange(4.0)
    held = Dataset(values)
    assert np.shares_memory(held.values, values)
    with pytest.raises(ValueError, match="read-only"):
        held.values[0] = 1
    values[0] = 7  # the maker's own array stays his
    assert Dataset(np.array([None, "a"], object)).values.tolist() == ["None", "a"]


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("<u4", {"class": "H5T_INTEGER", "base": "H5T_STD_U32LE"}),
        (">i2", {"class": "H5T_INTEGER", "base": "H5T_STD_I16BE"}),
        (">f4", {"class": "H5T_FLOAT", "base": "H5T_IEEE_F32BE"}),
        ("?", h5json.BOOLEAN),
        ("<U3", h5json.STRING),
    ],
)
def test_types(dtype: str, expected: dict) -> None:
    assert h5json.type_of(np.dtype(dtype)) == expected


@given(st.integers(0, 40), st.integers(0, 5))
def test_json_in_pieces_is_json(rows: int, columns: int) -> None:
    values = np.random.default_rng(0).normal(size=(rows, columns))
    text = b"".join(h5json.pieces(values))
    assert h5json.json.loads(text) == {"value": values.tolist(), "hrefs": []}


def test_long_json_comes_in_pieces() -> None:
    values = np.random.default_rng(0).normal(size=100_000)
    pieces = list(h5json.pieces(values))
    assert len(pieces) > 20
    assert h5json.json.loads(b"".join(pieces))["value"] == values.tolist()
