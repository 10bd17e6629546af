"""Scans that take a burst of frames at each step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bluesky import plans as bp
from bluesky.utils import MsgGenerator

from femto_bluesky.plans.bursts import PlanError, checked, name_of, whole_number, with_frames


def burst_scan(
    detectors: Sequence[Any],
    motor: Any,
    start: float,
    stop: float,
    num: int,
    frames: int,
    *,
    also: Sequence[Any] = (),
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[Any]:
    """Move a motor from `start` to `stop` in `num` steps and take `frames` frames at each.

    `start` and `stop` are in the motor's unit, both are measured. Each of the `detectors` has
    `num_images` or `cam.num_images`, which is set for the scan and set back after it. Devices that
    take no frames, such as I0, are given in `also` and read at each step; one of them that has a
    `num_images`, as a counter of shots may, gets the same length. `md` goes into the start
    document, which also says `frames_per_step`.

    A step begins with a checkpoint: after a pause, RE.resume takes the step that was interrupted
    again. Raises `PlanError` before anything moves.
    """
    devices = checked(detectors, also)
    n_steps, n_frames = whole_number(num, "num"), whole_number(frames, "frames")
    _check_motors([motor])
    said = {
        "plan_name": "burst_scan",
        "plan_args": {
            **devices.said, "motor": repr(motor), "start": float(start),
            "stop": float(stop), "num": n_steps, "frames": n_frames,
        },
        "frames_per_step": n_frames,
    }  # fmt: skip
    scan = bp.scan(devices.all, motor, start, stop, n_steps, md={**said, **(md or {})})
    return (yield from with_frames(scan, devices.bursting, n_frames))


def burst_grid(
    detectors: Sequence[Any],
    *axes: Any,
    frames: int,
    snake: bool = False,
    also: Sequence[Any] = (),
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[Any]:
    """Take `frames` frames at each point of a grid of motors.

    `axes` are, for each motor, the motor, its first and last position and the number of
    positions: `burst_grid([pilatus], stage_y, 0, 1, 5, stage_x, 0, 2, 9, frames=10)`. The first
    motor is the slowest. With `snake` the others go back and forth instead of returning to their
    start. The rest is as for `burst_scan`.
    """
    devices = checked(detectors, also)
    n_frames = whole_number(frames, "frames")
    if not axes or len(axes) % 4:
        raise PlanError(
            f"found {len(axes)} values for the axes, expected four for each motor: the motor, its "
            "first and its last position, and the number of positions"
        )
    _check_motors(axes[::4])
    steps = [
        whole_number(number, f"the number of positions of {name_of(motor)!r}")
        for motor, number in zip(axes[::4], axes[3::4], strict=True)
    ]
    # plain numbers: those of numpy cannot stand in JSON
    order: list[Any] = []
    for motor, start, stop, number in zip(axes[::4], axes[1::4], axes[2::4], steps, strict=True):
        order += [motor, float(start), float(stop), number]
    given = [value if i % 4 else repr(value) for i, value in enumerate(order)]
    said = {
        "plan_name": "burst_grid",
        "plan_args": {
            **devices.said, "axes": given, "frames": n_frames, "snake": bool(snake),
        },
        "frames_per_step": n_frames,
    }  # fmt: skip
    # the slowest axis has nothing to come back from, and a list without axes is no snake
    snaking = bool(snake) and len(steps) > 1
    scan = bp.grid_scan(devices.all, *order, snake_axes=snaking, md={**said, **(md or {})})
    return (yield from with_frames(scan, devices.bursting, n_frames))


def _check_motors(motors: Sequence[Any]) -> None:
    for motor in motors:
        if not hasattr(motor, "set"):
            raise PlanError(
                f"{name_of(motor)!r} cannot be moved (it has no set method), expected a motor; "
                "the order is motor, first position, last position, number of positions"
            )
    for number, motor in enumerate(motors):
        if any(motor is other for other in motors[:number]):
            raise PlanError(f"{name_of(motor)!r} stands for two axes; name each motor once")
