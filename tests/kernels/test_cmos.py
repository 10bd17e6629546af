from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from femto_bluesky.kernels import cmos

DTYPES = ["uint8", "uint16", "uint32", "int16", "int32", "float32", "float64"]
SHAPE = (4, 6)


def reference(raw, dark, threshold):
    """The rule in numbers that cannot wrap: Python's own."""
    out = np.zeros(raw.shape, raw.dtype)
    dark = np.broadcast_to(dark, raw.shape)
    for place, value in np.ndenumerate(raw):
        above = value.item() - dark[place].item()
        if above > 0 and above >= threshold:
            out[place] = above
    return out


def cleaned(raw, dark, threshold):
    out = np.full(raw.shape, 77, raw.dtype)
    rows = cmos.dark_rows(dark, raw.shape, raw.dtype)
    cmos.clean(raw, rows, cmos.in_type(threshold, raw.dtype), out)
    return out


def pixels_of(dtype, seed=0):
    rng = np.random.default_rng(seed)
    raw = rng.integers(0, 120, SHAPE).astype(dtype)
    raw.flat[0] = 0
    raw.flat[1] = np.iinfo(dtype).max if raw.dtype.kind in "ui" else 65535
    return raw


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("threshold", [0, 1, 12, 100])
@pytest.mark.parametrize("dark_is", ["a level", "an image"])
def test_clean_against_python(dtype, threshold, dark_is):
    raw = pixels_of(dtype)
    if dark_is == "a level":
        dark = 50
    else:
        dark = np.random.default_rng(1).integers(0, 127, SHAPE)
    expected = reference(raw, np.asarray(dark), threshold)
    found = cleaned(raw, dark, threshold)
    assert found.dtype == raw.dtype
    np.testing.assert_array_equal(found, expected)


@given(
    hnp.arrays(np.uint16, SHAPE),
    hnp.arrays(np.uint16, SHAPE),
    st.integers(0, 2**16 - 1),
)
def test_unsigned_pixels_never_wrap(raw, dark, threshold):
    np.testing.assert_array_equal(cleaned(raw, dark, threshold), reference(raw, dark, threshold))


@given(hnp.arrays(np.int16, SHAPE), hnp.arrays(np.int16, SHAPE, elements=st.integers(0, 2**15 - 1)))
def test_signed_pixels_never_wrap(raw, dark):
    np.testing.assert_array_equal(cleaned(raw, dark, 3), reference(raw, dark, 3))


def test_the_limits_are_the_issue():
    """At the threshold a pixel counts, one below it does not; at and below dark it is 0."""
    raw = np.array([[99, 100, 111, 112, 113, 65535]], np.uint16)
    np.testing.assert_array_equal(cleaned(raw, 100, 12), [[0, 0, 0, 12, 13, 65435]])
    np.testing.assert_array_equal(cleaned(raw, 100, 0), [[0, 0, 11, 12, 13, 65435]])
    np.testing.assert_array_equal(cleaned(raw, 65535, 0), [[0] * 6])


def test_nan_becomes_0():
    raw = np.array([[np.nan, 5.0, np.inf]], np.float32)
    np.testing.assert_array_equal(cleaned(raw, 1, 2), [[0, 4, np.inf]])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("dark_is", ["a level", "an image"])
def test_add_clean_is_clean_then_add(dtype, is_masked, dark_is):
    dark = 50 if dark_is == "a level" else np.random.default_rng(1).integers(0, 120, SHAPE)
    mask = np.random.default_rng(2).random(SHAPE) < 0.3 if is_masked else None
    kind = np.dtype(dtype).kind
    total = np.ones(SHAPE, {"u": np.uint64, "i": np.int64, "f": np.float64}[kind])
    expected = total.copy()
    for seed in range(3):
        raw = pixels_of(dtype, seed)
        before = raw.tobytes()
        rows = cmos.dark_rows(dark, SHAPE, raw.dtype)
        cmos.add_clean(raw, mask, rows, cmos.in_type(12, raw.dtype), total)
        clean = reference(raw, np.asarray(dark), 12).astype(total.dtype)
        expected += clean if mask is None else np.where(mask, 0, clean).astype(total.dtype)
        assert raw.tobytes() == before
    np.testing.assert_array_equal(total, expected)


def test_a_view_is_cleaned_as_it_looks():
    whole = np.random.default_rng(0).integers(0, 300, (8, 12)).astype(np.uint16)
    view = whole[1:7:2, ::2]
    np.testing.assert_array_equal(cleaned(view, 100, 12), reference(view, np.asarray(100), 12))


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (99.6, "uint16", 100),
        (1e9, "uint16", 65535),
        (-3, "uint16", 0),
        (300, "uint8", 255),
        (1e9, "int16", 32767),
        (99.6, "float64", 99.6),
    ],
)
def test_a_level_in_the_pixels_type(value, dtype, expected):
    found = cmos.in_type(value, np.dtype(dtype))
    assert found.dtype == dtype
    assert found == expected


def test_dark_rows():
    dtype = np.dtype(np.uint16)
    level = cmos.dark_rows(100.4, (3, 4), dtype)
    assert (level.shape, level.dtype) == ((1, 4), dtype)
    assert (level == 100).all()
    image = cmos.dark_rows(np.arange(12.0).reshape(4, 3).T, (3, 4), dtype)
    assert (image.shape, image.dtype, image.flags.c_contiguous) == ((3, 4), dtype, True)
    np.testing.assert_array_equal(image, np.arange(12).reshape(4, 3).T)


def test_a_dark_image_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"has shape \(4, 3\), the frames have \(3, 4\)") as error:
        cmos.dark_rows(np.zeros((4, 3)), (3, 4), np.dtype(np.uint16))
    assert "collect a dark image with the same readout region" in str(error.value)


@pytest.mark.parametrize("level", [-1.0, np.nan])
def test_a_dark_level_that_is_none_is_refused(level: float) -> None:
    image = np.full((4, 5), 100.0)
    image[2, 3] = level
    for dark in (level, image):
        with pytest.raises(ValueError, match="negative or not a number"):
            cmos.dark_rows(dark, (4, 5), np.dtype(np.int16))


def test_a_threshold_is_rounded_up_and_must_be_within_reach() -> None:
    assert cmos.threshold_in_type(12.5, np.dtype(np.uint16)) == 13
    assert cmos.threshold_in_type(12.5, np.dtype(np.float32)) == np.float32(12.5)
    with pytest.raises(ValueError, match="above all that uint8 pixels can hold"):
        cmos.threshold_in_type(300, np.dtype(np.uint8))
