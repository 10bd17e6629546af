"""A tree of results as it was at one moment: groups and datasets, after HDF5."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.viewer.identifiers import ObjectId


class NotInTreeError(LookupError):
    """An object that is not in the tree."""


class GoneError(NotInTreeError):
    """An object that is not there any more, or not as the asker knew it."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """An array of at most two dimensions and its attributes.

    Numbers, booleans and text; what else numpy holds is kept as its text. The memory is shared with
    whoever made the array, who must not write to it any more. `grows` says that its first axis is
    that of its group, which may become longer.
    """

    values: NDArray[Any]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    grows: bool = False

    def __post_init__(self) -> None:
        values = np.asarray(self.values)
        if values.dtype.kind not in "biufU" or values.dtype == np.float16:
            values = np.array([str(value) for value in values.ravel()], np.str_)
            values = values.reshape(np.shape(self.values))
        if values.ndim > 2:
            raise ValueError(f"an array of {values.ndim} dimensions; at most 2 can be published")
        values = values.view()
        values.flags.writeable = False
        object.__setattr__(self, "values", values)


@dataclass(frozen=True, slots=True)
class TreeGroup:
    """Named members and attributes; `length` is that of the first axis of the members that grow."""

    members: Mapping[str, Node]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    length: int | None = None


Node = TreeGroup | Dataset


class Tree:
    """An immutable tree, in which objects are found by path and by identifier."""

    def __init__(self, root: TreeGroup) -> None:
        self.root = root
        self._places = {identify(path, node).key: (path, node) for path, node in walk(root)}

    def __getitem__(self, path: str) -> Node:
        """The object at a path such as `/step_means/ROI 2/y`; raises `NotInTreeError`."""
        node: Node = self.root
        for name in filter(None, path.split("/")):
            if not isinstance(node, TreeGroup) or name not in node.members:
                raise NotInTreeError(f"there is no {path!r} among the results")
            node = node.members[name]
        return node

    def find(self, identifier: ObjectId) -> tuple[str, Node]:
        """Path and object of an identifier, as the asker knows it: cut to the shape that it names.

        So who follows links meets arrays that fit each other, though they have grown meanwhile.
        Raises `GoneError` where it is gone, or has become smaller, or another kind of thing.
        """
        path, node = self._places.get(identifier.key, ("", None))
        shown = None if node is None else _cut(node, identifier.shape)
        if shown is None:
            raise GoneError(
                f"{path or 'this object'} is not there any more, or has shrunk since it was looked "
                "up; open the file again"
            )
        return path, shown


def identify(path: str, node: Node) -> ObjectId:
    """The identifier of an object at a path, as it is now."""
    if isinstance(node, TreeGroup):
        shape = () if node.length is None else (node.length,)
        return ObjectId.of(path, shape, is_group=True)
    return ObjectId.of(path, node.values.shape, is_group=False)


def walk(node: Node, path: str = "/") -> Iterator[tuple[str, Node]]:
    """All objects and their paths, from the top."""
    yield path, node
    if isinstance(node, TreeGroup):
        for name, member in node.members.items():
            yield from walk(member, f"{path.rstrip('/')}/{name}")


def _cut(node: Node, shape: tuple[int, ...]) -> Node | None:
    if isinstance(node, Dataset):
        if any(n > there for n, there in zip(shape, node.values.shape, strict=True)):
            return None
        return _cropped(node, shape)
    if not shape:
        return node
    length = shape[0]
    if node.length is None or length > node.length:
        return None
    members = {
        name: _cropped(member, (length, *member.values.shape[1:]))
        if isinstance(member, Dataset) and member.grows
        else member
        for name, member in node.members.items()
    }
    return TreeGroup(members, node.attributes, length)


def _cropped(node: Dataset, shape: tuple[int, ...]) -> Dataset:
    if shape == node.values.shape:
        return node
    box = tuple(slice(0, n) for n in shape)
    return Dataset(node.values[box], node.attributes, node.grows)
