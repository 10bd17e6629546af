"""What is in a region: as numpy finds it in the whole image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from femto_bluesky.callbacks import Accumulation, RoiMeans
from femto_bluesky.model.mask_counts import MaskParts
from femto_bluesky.model.rois import Roi
from femto_bluesky.model.sums import Glimpse
from femto_bluesky.testing.shots import make_shots
from femto_bluesky.viewer.page import region_statistics
from femto_bluesky.viewer.page.region_statistics import box_statistics, in_words, newest_steps

ROI = Roi(x0=2, y0=1, x1=12, y1=9)


@pytest.fixture
def glimpse() -> Glimpse:
    sums = Accumulation()
    for shot in make_shots(("pilatus",), shape=(12, 16)):
        sums.update(shot)
    found = sums.look()
    assert found is not None
    return found


@pytest.mark.parametrize("chunk", [1, 25, 1 << 18])
def test_they_are_those_of_the_valid_pixels(
    glimpse: Glimpse, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(region_statistics, "CHUNK_PX", chunk)
    mask = glimpse.mask()
    assert mask is not None
    assert 0 < mask[ROI.box].sum() < mask[ROI.box].size
    valid = glimpse.image[ROI.box][~mask[ROI.box]]
    before = glimpse.image.copy()
    found = box_statistics(glimpse, ROI)
    assert found.n == valid.size
    assert found.largest == valid.max()
    assert (found.mean, found.std, found.sum) == pytest.approx(
        (valid.mean(), valid.std(), valid.sum())
    )
    assert np.array_equal(glimpse.image, before)


def test_counts_are_summed_exactly(glimpse: Glimpse) -> None:
    image = np.random.default_rng(0).poisson(5e8, glimpse.image.shape).astype(np.uint32)
    bright = replace(glimpse, image=image, masks=MaskParts(None, None, 0))
    found = box_statistics(bright, ROI)
    assert found.sum == image[ROI.box].sum()
    assert found.std == pytest.approx(image[ROI.box].std(), rel=1e-9)


def test_where_no_pixel_is_valid_there_is_a_dash(glimpse: Glimpse) -> None:
    mask = glimpse.mask()
    assert mask is not None
    y, x = np.argwhere(mask)[0]
    found = box_statistics(glimpse, Roi(x0=x, y0=y, x1=x + 1, y1=y + 1))
    assert (found.n, found.sum) == (0, 0)
    words = in_words(found, None)
    assert words == {"mean": "-", "std": "-", "sum": "0", "max": "-", "n": "0", "step": "-"}
    assert set(in_words(None, (np.nan, 0.0)).values()) == {"-"}


def test_the_newest_step_is_that_of_the_region() -> None:
    means = RoiMeans({"a b": ROI, "new": ROI})
    shots = make_shots(("pilatus",), shape=(12, 16))
    for shot in shots:
        means.update(shot)
    steps = means.result()
    found = newest_steps(means.groups(), "pilatus", ["a b", "other"])
    assert found == {
        "a b": (steps["pilatus_a_b_mean"][-1], steps["pilatus_a_b_std"][-1])
    }  # fmt: skip
    assert in_words(None, (6.02449, 0.1234))["step"] == "6.02 \u00b1 0.12"
