"""Frames in the dark, from which the dark level, the noise and the hot pixels are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.utils import MsgGenerator

from femto_bluesky.model.darks import DARK_STREAM
from femto_bluesky.plans.bursts import PlanError, checked, name_of, whole_number, with_frames


def collect_dark(
    detectors: Sequence[Any],
    n: int = 100,
    *,
    shutter: Any = None,
    closed: Any = 0,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[Any]:
    """Take a burst of `n` frames with the shutter closed, in the event stream `dark`.

    `shutter` is a device or signal that is set to `closed` before the burst and, however the plan
    ends, to what it read before. With None nobody moves: close it by hand, or let the beam be off.
    The exposure must be that of the data. A hundred frames tell the noise of a pixel to 7 percent
    (one over the root of 2 n); for the level alone ten will do.

    `md` goes into the start document, which says `purpose: dark`. After a pause the burst is taken
    again, with the shutter closed again. Raises `PlanError` before anything moves.
    """
    cameras = checked(detectors).detectors
    n_frames = whole_number(n, "n")
    if shutter is not None and not hasattr(shutter, "set"):
        raise PlanError(
            f"the shutter {name_of(shutter)!r} cannot be closed (it has no set method); give the "
            "device or signal that closes it"
        )
    start = {
        "plan_name": "collect_dark",
        "plan_args": {
            "detectors": list(map(repr, cameras)), "n": n_frames,
            "shutter": None if shutter is None else repr(shutter), "closed": repr(closed),
        },
        "detectors": [name_of(camera) for camera in cameras],
        "num_points": 1,
        "num_intervals": 0,
        "frames_per_step": n_frames,
        "purpose": "dark",
        "hints": {"dimensions": [(("time",), DARK_STREAM)]},
    }  # fmt: skip

    def burst() -> MsgGenerator[None]:
        yield from bps.checkpoint()
        if shutter is not None:
            # after the checkpoint: somebody may have opened it while the run was paused
            yield from bps.abs_set(shutter, closed, wait=True)
        yield from bps.trigger_and_read(cameras, name=DARK_STREAM)

    run = bpp.run_wrapper(burst(), md={**start, **(md or {})})
    taken = with_frames(bpp.stage_wrapper(run, cameras), cameras, n_frames)
    return (yield from taken if shutter is None else _set_back_after(taken, shutter))


def _set_back_after(plan: MsgGenerator[Any], shutter: Any) -> MsgGenerator[Any]:
    """Carry out a plan and set the shutter to what it read before, however the plan ends."""
    try:
        before = yield from bps.rd(shutter)
    except ValueError as error:
        raise PlanError(
            f"the shutter {name_of(shutter)!r} has several readings, so it is not known what to "
            "set it back to; give the one signal that closes it"
        ) from error

    def set_back() -> MsgGenerator[None]:
        yield from bps.abs_set(shutter, before, wait=True)

    return (yield from bpp.finalize_wrapper(plan, set_back))
