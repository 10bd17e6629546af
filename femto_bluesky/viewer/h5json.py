"""Types, shapes and values of HDF5 as JSON, as the REST API of HSDS describes them.

Source: https://h5json.readthedocs.io (HDF5/JSON), and what the clients read of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

STRING: Final = {
    "class": "H5T_STRING", "charSet": "H5T_CSET_UTF8", "strPad": "H5T_STR_NULLTERM",
    "length": "H5T_VARIABLE",
}  # fmt: skip
BOOLEAN: Final = {
    "class": "H5T_ENUM",
    "base": {"class": "H5T_INTEGER", "base": "H5T_STD_I8LE"},
    "mapping": {"FALSE": 0, "TRUE": 1},
    "members": [{"name": "FALSE", "value": 0}, {"name": "TRUE", "value": 1}],
}
PIECE: Final = 4096
"""Numbers that are made text at once: other threads wait for about as many microseconds."""

LARGE: Final = 1 << 16
"""Bytes of text that are sent at once, or a few more."""


def type_of(dtype: np.dtype[Any]) -> dict[str, Any]:
    """The HDF5 type of numbers, booleans or text."""
    order = "BE" if dtype.str[0] == ">" else "LE"
    bits = 8 * dtype.itemsize
    match dtype.kind:
        case "b":
            return BOOLEAN
        case "i" | "u":
            return {"class": "H5T_INTEGER", "base": f"H5T_STD_{dtype.kind.upper()}{bits}{order}"}
        case "f":
            return {"class": "H5T_FLOAT", "base": f"H5T_IEEE_F{bits}{order}"}
    return dict(STRING)


def shape_of(values: NDArray[Any]) -> dict[str, Any]:
    """The HDF5 dataspace of an array."""
    if values.ndim == 0:
        return {"class": "H5S_SCALAR"}
    return {"class": "H5S_SIMPLE", "dims": list(values.shape)}


def attribute(name: str, value: Any) -> dict[str, Any]:
    """One attribute with its value."""
    values = np.asarray(value)
    if values.dtype.kind not in "biufU":
        values = np.asarray(str(value))
    return {
        "name": name, "type": type_of(values.dtype), "shape": shape_of(values),
        "value": plain(values), "created": 0.0, "hrefs": [],
    }  # fmt: skip


def plain(values: NDArray[Any]) -> Any:
    """An array as lists for JSON; booleans are 0 and 1, as their type says."""
    return (values.view(np.int8) if values.dtype.kind == "b" else values).tolist()


def pieces(values: NDArray[Any]) -> Iterator[bytes]:
    """The reply `{"value": ...}` of an array, in pieces.

    Made at once, the text of an image would hold the interpreter for a second, and the scan with
    it. What is not finite stands as NaN and Infinity, which is no JSON but is what HSDS sends.
    """
    held = bytearray(b'{"value": ')
    for piece in _nested(values):
        held += piece
        if len(held) > LARGE:
            yield bytes(held)
            held.clear()
    yield bytes(held + b', "hrefs": []}')


def _nested(values: NDArray[Any]) -> Iterator[bytes]:
    if values.ndim == 0:
        yield json.dumps(plain(values)).encode()
        return
    yield b"["
    if values.ndim == 1:
        for start in range(0, len(values), PIECE):
            text = json.dumps(plain(values[start : start + PIECE]))
            yield (b", " if start else b"") + text[1:-1].encode()
    else:
        for i, row in enumerate(values):
            yield b", " if i else b""
            yield from _nested(row)
    yield b"]"
