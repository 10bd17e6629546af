"""What the tests of pictures and of curves share: things to draw, and what is seen of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from femto_bluesky.model.results import DataGroup, Quantity

GREY = (140, 140, 140)


def image(pixels, axes=(), title="Sum of 30 images", **more):
    quantity = Quantity("image", np.asarray(pixels), "counts", "accumulated")
    return DataGroup("image", title, quantity, axes, **more)


def curve(x, y, errors=None, title="ROI 2"):
    return DataGroup(
        "step_means/ROI_2",
        title,
        Quantity("mean", np.asarray(y), "counts", "mean of ROI 2"),
        (Quantity("motor", np.asarray(x), "mm"),),
        errors=None if errors is None else np.asarray(errors),
        errors_name="std",
    )


def read(path: Path) -> np.ndarray:
    with Image.open(path) as file:
        return np.asarray(file.convert("RGB"))


def places(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.argwhere((picture == colour).all(axis=-1))
