from __future__ import annotations

import builtins
import codecs
import contextlib
import copyreg
import datetime
import functools
import io
import os
import pickle
import uuid
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from femto_bluesky.sources.predecessor import unpickle
from femto_bluesky.sources.predecessor.unpickle import UnpickleError

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.datetimes(timezones=st.none() | st.just(datetime.UTC)),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(), inner)
        | st.tuples(inner, inner)
        | st.sets(st.integers())
        | st.frozensets(st.text())
    ),
    max_leaves=20,
)


@given(PLAIN, st.integers(0, 5))
def test_plain_values_come_back(value: Any, protocol: int) -> None:
    assert unpickle.loads(pickle.dumps(value, protocol), where="x") == value


@given(
    hnp.arrays(
        hnp.scalar_dtypes().filter(lambda d: d.kind in "biufcSU" and d.itemsize > 0),
        hnp.array_shapes(min_side=0),
    ),
    st.integers(2, 5),
    st.booleans(),
)
def test_arrays_come_back(array: np.ndarray[Any, Any], protocol: int, fortran: bool) -> None:
    array = np.asfortranarray(array) if fortran else array
    data = pickle.dumps(array, protocol)
    found = unpickle.loads(data, where="x")
    # numpy itself turns some arrays to the machine's byte order.
    assert found.dtype == pickle.loads(data).dtype
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize(
    "value",
    [
        np.float64(1.5),
        np.dtype(">u2"),
        OrderedDict(a=1),
        uuid.UUID(int=5),
        datetime.date(2025, 3, 1),
        datetime.timedelta(1, 2, 3),
        datetime.timezone(datetime.timedelta(hours=1), "CET"),
        bytearray(b"abc"),
    ],
)
def test_other_plain_values_come_back(value: Any) -> None:
    found = unpickle.loads(pickle.dumps(value), where="x")
    assert found == value
    assert type(found) is type(value)


def test_old_module_names_of_numpy_are_known() -> None:
    data = pickle.dumps(np.arange(3), 2).replace(b"numpy._core", b"numpy.core")
    np.testing.assert_array_equal(unpickle.loads(data, where="x"), np.arange(3))


class _Reduces:
    def __init__(self, *reduced: Any) -> None:
        self.reduced = reduced

    def __reduce__(self) -> Any:
        return self.reduced


class _Harm:
    """Leaves a trace where anything of it is called."""

    called = False


def _harm(*_: object) -> None:
    _Harm.called = True


@pytest.mark.parametrize(
    ("attack", "named"),
    [
        (_Reduces(os.system, ("true",)), "system"),
        (_Reduces(builtins.eval, ("1+1",)), "builtins.eval"),
        (_Reduces(getattr, ("a", "upper")), "builtins.getattr"),
        (_Reduces(functools.partial, (print,)), "functools.partial"),
        (_Reduces(codecs.decode, (b"a", "hex")), "_codecs.decode"),
        (_Reduces(codecs.encode, ("a", "rot13")), "_codecs.encode"),
        (_Reduces(copyreg._reconstructor, (dict, object, None)), "_reconstructor"),
        (_Reduces(np.load, ("x.npy",)), "numpy.load"),
        (_Reduces(np.fromfile, ("x",)), "fromfile"),
        (_Reduces(io.open, ("x", "w")), "open"),
        (_Reduces(_harm, ()), "_harm"),
        (np.array([object()], dtype=object), "numpy.dtype('O8')"),
        (np.array([_Reduces(_harm, ())], dtype=object), "numpy.dtype('O8')"),
        (np.zeros(2, dtype=[("a", "i4")]), "numpy.dtype('V4')"),
        (os.system, "system"),
        (np.ndarray, "one value"),
    ],
)
def test_everything_else_is_refused_by_name(attack: Any, named: str) -> None:
    for protocol in (2, 4):
        with pytest.raises(UnpickleError) as caught:
            unpickle.loads(pickle.dumps(attack, protocol), where="here")
        assert named in str(caught.value)
        assert "here: the pickle is refused at byte" in str(caught.value)
    assert not _Harm.called


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04\x8e" + (1 << 62).to_bytes(8, "little") + b".",
        b"\x80\x04B\xff\xff\xff\x7f.",
        b"\x80\x04\x8a\xff.",
        b"\x80\x04N\x94r\xff\xff\xff\x7f0",
        b"\x80\x04" + b"(" * 100,
        b"\x80\x04h\x05.",
        b"\x80\x04e.",
        b"\x80\x04].].",
        b"\x80\x04R.",
        b"\x80\x04K\x01K\x02\x86\x87.",
        b"\x80\x04\x85.",
        b"\x80\x04Pabc\n.",
        b"\x80\x04\x82\x01.",
        b"I99x\n.",
        b"",
        b"not a pickle",
    ],
)
def test_hostile_bytes_are_refused_without_allocating(data: bytes) -> None:
    if data == b"\x80\x04].].":  # one pickle, then more: the rest is the next pickle's
        assert unpickle.loads(data, where="x") == []
        return
    with pytest.raises(UnpickleError, match="x: the pickle"):
        unpickle.loads(data, where="x")


def test_huge_array_shapes_are_refused() -> None:
    for shape in ((10**12,), (-1,), (2**40, 2**40)):
        state = (1, shape, np.dtype("f8"), False, b"")
        attack = _Reduces(np._core.multiarray._reconstruct, (np.ndarray, (0,), b"b"), state)  # type: ignore[attr-defined]
        with pytest.raises(UnpickleError):
            unpickle.loads(pickle.dumps(attack), where="x")


def test_deep_keys_are_refused_before_they_are_hashed() -> None:
    deep = b"\x80\x04}" + b")" + b"\x85" * 40_000 + b"Ns."
    with pytest.raises(UnpickleError, match="tuple as a key"):
        unpickle.loads(deep, where="x")


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    for prefix in (b"", b"\x80\x04", b"\x80\x02"):
        with contextlib.suppress(UnpickleError):
            unpickle.loads(prefix + data, where="x")


def test_the_source_ends_up_behind_the_pickle() -> None:
    first, second = pickle.dumps([1]), pickle.dumps("two")
    source = io.BytesIO(first + second)
    assert unpickle.load(source, where="x") == [1]
    assert source.tell() == len(first)
    assert unpickle.load(source, where="x") == "two"
