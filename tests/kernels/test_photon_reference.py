"""The finder gives the list of the plain numpy reference, bit for bit, whatever the frame."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from femto_bluesky.kernels import photons
from femto_bluesky.kernels.photons import PhotonSearch
from femto_bluesky.model.rois import Roi
from tests.kernels import photon_reference as reference

DTYPES = ["uint8", "uint16", "uint32", "uint64", "int16", "int32", "float32", "float64"]
# Each combination is code of its own: all of them for these, one dark level for the rest.
WHOLE = ["uint16", "float32"]
SIDES = st.sampled_from([1, 2, 3, 4, 5, 7, 9, 16])
WIDE = st.sampled_from([1, 2, 3, 5, 127, 128, 129, 130, 255, 256, 257, 260])


@dataclasses.dataclass(frozen=True)
class Looked:
    """A frame and what is looked for on it."""

    frame: Any
    settings: dict[str, Any]

    def __repr__(self) -> str:
        shown = {name: value for name, value in self.settings.items() if np.ndim(value) == 0}
        return f"{self.frame.dtype} {self.frame.shape} {shown}\n{self.frame!r}"


def same(looked: Looked) -> int:
    """Assert that both lists are the same bytes, and that nothing was written to; their length."""
    inputs = [looked.frame, looked.settings.get("dark"), looked.settings.get("mask")]
    before = [np.array(value).tobytes() for value in inputs if value is not None]
    search = PhotonSearch(**looked.settings)
    found = search.find(looked.frame)
    expected = reference.find(looked.frame, **looked.settings)
    assert found.dtype == reference.PHOTON
    np.testing.assert_array_equal(found, expected)
    assert found.tobytes() == expected.tobytes()
    assert search.find(looked.frame).tobytes() == expected.tobytes()  # room from the first time
    assert [np.array(value).tobytes() for value in inputs if value is not None] == before
    return len(found)


def test_both_speak_of_the_same() -> None:
    assert photons.PHOTON == reference.PHOTON
    ours = photons.OVERLAP, photons.HOT, photons.EDGE, photons.CLOSE
    assert ours == (reference.OVERLAP, reference.HOT, reference.EDGE, reference.CLOSE)


def with_few_values(rng: np.random.Generator, shape: tuple[int, int], most: int) -> Any:
    """Ties and plateaus everywhere."""
    return rng.integers(0, 4, shape) * (most // 4) + rng.integers(0, 2)


def with_any_values(rng: np.random.Generator, shape: tuple[int, int], most: int) -> Any:
    return rng.integers(0, most, shape, endpoint=True)


def saturated(rng: np.random.Generator, shape: tuple[int, int], most: int) -> Any:
    return np.where(rng.random(shape) < rng.random(), most, rng.integers(0, most, shape))


def with_photons(rng: np.random.Generator, shape: tuple[int, int], most: int) -> Any:
    """Noise and bright spots, also on edges, in corners and beside block boundaries."""
    frame = rng.normal(most / 12, most / 400, shape)
    for _ in range(rng.integers(1, 40)):
        y = rng.choice([0, shape[0] - 1, rng.integers(shape[0])])
        x = rng.choice([0, shape[1] - 1, rng.integers(shape[1]), min(128, shape[1] - 1)])
        frame[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2] += rng.integers(0, most // 12)
        frame[y, x] += rng.integers(0, most // 3)
    return np.clip(np.rint(frame), 0, most)


def plateaus(rng: np.random.Generator, shape: tuple[int, int], most: int) -> Any:
    """Boxes of one value upon one value, among them a frame that is all one value."""
    frame = np.full(shape, most // 12)
    for _ in range(rng.integers(0, 8)):
        y, x = rng.integers(shape[0]), rng.integers(shape[1])
        frame[y : y + rng.integers(1, 5), x : x + rng.integers(1, 5)] = rng.integers(most // 2)
    return frame


KINDS = [with_few_values, with_any_values, saturated, with_photons, plateaus]


@st.composite
def looks(draw: st.DrawFn, dtype: str) -> Looked:
    """A frame of a dtype with anything that may be set, in the scale of its numbers."""
    shape = draw(st.tuples(SIDES, WIDE))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    most = 200 if dtype == "uint8" else draw(st.sampled_from([1200, 30000]))
    pixels = draw(st.sampled_from(KINDS))(rng, shape, most)
    if dtype == "int16":
        pixels = pixels - draw(st.sampled_from([0, most // 8]))
    frame = np.asarray(pixels).astype(dtype)
    if frame.dtype.kind == "f":
        frame += draw(st.sampled_from([0, 0.25, 0.1]))
        frame[rng.random(shape) < draw(st.sampled_from([0, 0.05, 0.6]))] = np.nan
    level = draw(st.sampled_from([0, 1, most // 12, most / 12 + 0.37, most]))
    found: dict[str, Any] = {
        "dark": level,
        "threshold": draw(st.sampled_from([0, most / 11, most / 2 + 0.5, most, 1e6, 1e18])),
        "energy_min": draw(st.sampled_from([0, 1, most // 2, most * 0.61, most * 8])),
        "hot_share": draw(st.sampled_from([0.1, 0.5, 0.75, 1])),
    }
    found["energy_max"] = found["energy_min"] + draw(st.sampled_from([0, most // 2, np.inf]))
    if dtype in WHOLE and draw(st.booleans()):
        found["dark"] = draw(st.sampled_from([np.float32, np.float64, np.uint16]))(
            np.maximum(rng.normal(level, 3, shape), 0)
        )
        if found["dark"].dtype.kind == "f" and found["dark"].size > 1:
            gone = rng.random(shape) < draw(st.sampled_from([0, 0.05]))
            gone.flat[0] = False
            found["dark"][gone] = np.nan
    if dtype in WHOLE and draw(st.booleans()):
        found["mask"] = rng.random(shape) < draw(st.sampled_from([0, 0.05, 0.5, 1]))
    if draw(st.booleans()):
        (y0, y1), (x0, x1) = (sorted(rng.choice(n + 1, 2, replace=False)) for n in shape)
        found["roi"] = Roi(y0=int(y0), y1=int(y1), x0=int(x0), x1=int(x1))
    return Looked(frame, found)


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=600)
@given(st.data())
def test_any_frame(dtype: str, data: st.DataObject) -> None:
    same(data.draw(looks(dtype)))


@settings(max_examples=300)
@given(
    hnp.arrays(
        np.uint16,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=7),
        elements=st.sampled_from([0, 99, 100, 101, 189, 190, 500, 501, 65535]),
    )
)
@example(np.full((1, 1), 65535, np.uint16))
@example(np.full((3, 3), 65535, np.uint16))
def test_small_frames(frame: Any) -> None:
    same(Looked(frame, {}))
    same(Looked(frame, {"threshold": 0, "energy_min": 0}))


@settings(max_examples=100)
@given(
    hnp.arrays(
        np.float64,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=6),
        elements=st.one_of(st.floats(-1e6, 1e6), st.just(np.nan)),
    )
)
def test_any_float(frame: Any) -> None:
    """Also those so close together that the dark level rounds away what parts them."""
    same(Looked(frame, {"energy_min": 0, "threshold": 0, "dark": 0.1}))


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
@pytest.mark.parametrize("shape", [(300, 130), (1, 9000), (9000, 1), (60, 400)])
def test_more_photons_than_there_is_room_for_at_first(dtype: str, shape: tuple[int, int]) -> None:
    """Every second pixel of every second row is a photon: no frame holds more."""
    frame = np.zeros(shape, dtype)
    frame[::2, ::2] = 5000
    n = same(Looked(frame, {"dark": 0}))
    assert n == -(-shape[0] // 2) * -(-shape[1] // 2)
    assert n > 4000


def test_room_does_not_run_out_when_frames_grow_fuller() -> None:
    """The room is learned from the frame before: from none to all to none."""
    full = np.zeros((200, 260), np.uint16)
    full[::2, ::2] = 5000
    search = PhotonSearch(dark=0)
    for frame in (np.zeros_like(full), full, full[:, ::-1], np.zeros_like(full), full):
        assert search.find(frame).tobytes() == reference.find(frame, dark=0).tobytes()


@pytest.mark.parametrize("dtype", ["uint16", "float32", "float64"])
@given(st.integers(1, 3000), st.sampled_from([0, 100, 100.1]), st.integers(0, 2))
def test_the_threshold_loses_no_photon(dtype: str, ninth: int, dark: float, more: int) -> None:
    """The faintest that is one: nine pixels as even as can be, a trifle above the least energy."""
    frame = np.zeros((7, 140), dtype)
    frame[2:5, 129:132] = frame[2:5, 5:8] = ninth + dark
    for x in (6, 130):
        step = {"uint16": 1, "float32": np.spacing(frame[3, x]), "float64": 1e-9 * ninth}[dtype]
        frame[3, x] += step
    energy_min = 9 * ninth - more / 1000
    same(Looked(frame, {"dark": dark, "threshold": 0, "energy_min": energy_min, "energy_max": 1e9}))
    level = np.full(frame.shape, dark)
    least = {"threshold": 0, "energy_min": 9 * ninth, "energy_max": 1e9}
    if dark != 100.1:
        assert same(Looked(frame, {"dark": dark, **least})) == 2
        assert same(Looked(frame, {"dark": level, **least})) == 2


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_largest_and_smallest_numbers_of_a_type(dtype: str) -> None:
    info: Any = np.iinfo(dtype) if np.dtype(dtype).kind in "ui" else np.finfo(np.float32)
    frame = np.full((5, 150), info.min, dtype)
    frame[2, 3] = frame[4, 149] = frame[0, 128] = info.max
    for threshold in (0, 300.5, float(info.max)):
        same(Looked(frame, {"dark": 0, "threshold": threshold, "energy_min": 0}))


LAYOUTS = {
    "every second column": lambda frame: np.repeat(frame, 2, axis=1)[:, ::2],
    "backwards": lambda frame: frame[::-1, ::-1].copy()[::-1, ::-1],
    "columns first": np.asfortranarray,
    "big endian": lambda frame: frame.astype(frame.dtype.newbyteorder(">")),
    "read only": lambda frame: np.frombuffer(frame.tobytes(), frame.dtype).reshape(frame.shape),
    "not aligned": lambda frame: np.frombuffer(b"0" + frame.tobytes(), frame.dtype, offset=1)
    .reshape(frame.shape),
}  # fmt: skip


@pytest.mark.parametrize("dtype", WHOLE)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_of_the_memory_does_not_matter(dtype: str, layout: str) -> None:
    frame = np.asarray(with_photons(np.random.default_rng(3), (40, 260), 3000), dtype)
    expected = reference.find(frame)
    assert len(expected) > 5
    view = LAYOUTS[layout](frame)
    np.testing.assert_array_equal(view, frame)
    assert PhotonSearch().find(view).tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", ["float16", "longdouble", "int8", "int64"])
def test_other_numbers(dtype: str) -> None:
    frame = with_any_values(np.random.default_rng(4), (30, 140), 120).astype(dtype)
    settings = {"dark": 9, "threshold": 10, "energy_min": 12, "energy_max": 90}
    assert same(Looked(frame, settings)) > 100


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dark_is", ["a level", "an image"])
def test_a_frame_as_a_camera_gives_it(seed: int, dark_is: str) -> None:
    rng = np.random.default_rng(seed)
    frame = with_photons(rng, (500, 1000), 1200).astype(np.uint16)
    frame[rng.integers(500, size=3000), rng.integers(1000, size=3000)] += 1000
    dark = 100.0 if dark_is == "a level" else rng.normal(100, 2, frame.shape).astype(np.float32)
    for mask in (None, rng.random(frame.shape) < 1e-3):
        assert same(Looked(frame, {"dark": dark, "mask": mask})) > 2000
