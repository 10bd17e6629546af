"""Frames without a scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bluesky import plans as bp
from bluesky.utils import MsgGenerator

from femto_bluesky.plans.bursts import checked, whole_number, with_frames


def continuous(
    detectors: Sequence[Any],
    frames_per_event: int = 1,
    *,
    n_events: int | None = None,
    also: Sequence[Any] = (),
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[Any]:
    """Take frames until somebody stops it, `frames_per_event` at a time, without a motor.

    Nothing is scanned: results are plotted against the number of the frame, and what is added up
    is begun and ended by hand: `reset_accumulation()` at the prompt, in a program
    `LiveAnalysis.accumulation(detector).reset()`. With Ctrl-C (twice, not to wait) the run pauses;
    RE.resume goes on and RE.stop ends it well. `n_events` ends it by itself. The larger
    `frames_per_event`, the less time goes into documents, and the later each is seen.

    The rest is as for `burst_scan`; a checkpoint stands before each event. Raises `PlanError`
    before anything is staged.
    """
    devices = checked(detectors, also)
    n_frames = whole_number(frames_per_event, "frames_per_event")
    number = None if n_events is None else whole_number(n_events, "n_events")
    said = {
        "plan_name": "continuous",
        "plan_args": {
            **devices.said, "frames_per_event": n_frames,
            "n_events": number,
        },
        "frames_per_step": n_frames,
    }  # fmt: skip
    # not 0: bluesky then subtracts the time that an event took, and where the clock has been set
    # back by an hour meanwhile, it sleeps for an hour
    no_delay: Any = None
    count = bp.count(devices.all, num=number, delay=no_delay, md={**said, **(md or {})})
    return (yield from with_frames(count, devices.bursting, n_frames))
