"""Masks: which pixels carry no data. True is masked, everywhere in this package.

So it is with pyFAI and fabio, and in NeXus (`pixel_mask`): what is not 0 is left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.model.shots import Mask


class MaskError(ValueError):
    """A mask that does not fit; the message says what was found and expected."""


def negative_flags(image: NDArray[Any]) -> Mask:
    """Where an image says itself that it has no data: below 0 (gap, dead pixel), NaN, infinite.

    A new mask (rows, columns). Pilatus detectors write -1 for gaps and -2 for dead pixels.

    >>> import numpy as np
    >>> negative_flags(np.array([[0, -1], [3, -2]])).tolist()
    [[False, True], [False, True]]
    """
    if image.dtype.kind in "ub":
        return np.zeros(image.shape, np.bool_)
    if image.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            return np.asarray(~((image >= 0) & (image < np.inf)))
    return np.asarray(image < 0)


def checked(mask: NDArray[Any], shape: tuple[int, ...], what: str = "the mask") -> Mask:
    """A mask as booleans, True where it is not 0, of the shape (rows, columns) of the frames.

    Raises `MaskError` for another shape (`what` names it), for NaN, and for one that leaves no
    pixel.
    """
    found = np.asarray(mask)
    if found.dtype.kind not in "buif":
        raise MaskError(
            f"{what} is of dtype {found.dtype}, expected booleans or numbers: not 0 is masked"
        )
    if found.shape != tuple(shape):
        turned = " (it is turned: transpose it)" if found.shape == tuple(shape)[::-1] else ""
        raise MaskError(
            f"{what} has the shape {found.shape}, the frames have {tuple(shape)}{turned}; make a "
            "mask for this readout region"
        )
    if found.dtype.kind == "f" and np.isnan(found).any():
        raise MaskError(
            f"{what} holds NaN, which says neither masked nor valid; write 1 where a pixel is to "
            "be left out and 0 elsewhere"
        )
    is_masked: Mask = found if found.dtype == np.bool_ else found != 0
    if found.size and is_masked.all():
        raise MaskError(
            f"{what} leaves no pixel; expected 0 where a pixel carries data: where the file means "
            "the opposite, write it again as mask == 0"
        )
    return is_masked


def combine(*masks: NDArray[Any] | None, shape: tuple[int, ...] | None = None) -> Mask:
    """All masks in one: masked is what any of them masks; None masks nothing.

    A new mask. `shape` is that of the frames, where it is known. Raises `MaskError` where shapes
    differ, naming the mask by its place, and where there is neither a mask nor a shape.

    >>> import numpy as np
    >>> combine(np.array([[0, 1]]), None, np.array([[True, False]])).tolist()
    [[True, True]]
    """
    given = [(place, mask) for place, mask in enumerate(masks, 1) if mask is not None]
    if shape is None:
        if not given:
            raise MaskError("there is no mask to combine; give one, or the shape of the frames")
        shape = given[0][1].shape
    total = np.zeros(shape, np.bool_)
    for place, mask in given:
        if mask.shape != total.shape:
            raise MaskError(
                f"mask {place} of {len(masks)} has the shape {mask.shape}, expected {total.shape}; "
                "combine masks of one readout region only"
            )
        total |= mask != 0
    return total


def in_words(mask: NDArray[Any]) -> str:
    """How much a mask leaves out.

    >>> import numpy as np
    >>> in_words(np.eye(10, dtype=bool))
    '10 of 100 pixels (10%)'
    """
    n = int(np.count_nonzero(mask))
    share = n / max(mask.size, 1)
    return f"{n} of {mask.size} pixels ({100 * share:.3g}%)"
