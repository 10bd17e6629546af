"""How many frames a detector takes at each trigger: set for a plan, and set back after it."""

from __future__ import annotations

import logging
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.utils import MsgGenerator, RunEngineControlException

log = logging.getLogger(__name__)


class PlanError(ValueError):
    """A plan that cannot be carried out as it was asked for; nothing has been moved or staged."""


def burst_length(detector: Any) -> Any:
    """The signal that says how many frames a trigger takes: `num_images`, or `cam.num_images`.

    Raises `PlanError`, which names the detector, where it has neither.
    """
    signal = _length_of(detector)
    if signal is None:
        raise PlanError(
            f"{name_of(detector)!r} has neither num_images nor cam.num_images, so a plan cannot "
            "say how many frames it takes; a device that takes no frames, such as I0, is read "
            f"beside the detectors with also=[{name_of(detector)}]"
        )
    return signal


def _length_of(device: Any) -> Any:
    signal = getattr(device, "num_images", None)
    return getattr(getattr(device, "cam", None), "num_images", None) if signal is None else signal


def name_of(device: Any) -> str:
    """What a device is called in the documents."""
    return str(getattr(device, "name", None) or repr(device))


def whole_number(value: Any, what: str, least: int = 1) -> int:
    """The value as an int. Raises `PlanError` where it is no whole number of at least `least`."""
    try:
        number = operator.index(value)  # integers of numpy are integers too
    except TypeError:
        number = least - 1
    if number < least or isinstance(value, bool):
        raise PlanError(f"{what} is {value!r}, expected a whole number of {least} or more")
    return number


@dataclass(frozen=True, slots=True)
class Devices:
    """The devices of a plan: `detectors` take bursts, what is in `also` is read beside them."""

    detectors: list[Any]
    also: list[Any]

    @property
    def all(self) -> list[Any]:
        """Everything that is staged, triggered and read."""
        return [*self.detectors, *self.also]

    @property
    def bursting(self) -> list[Any]:
        """Everything that has a burst length: a counter of shots must see as many as cameras do."""
        return [*self.detectors, *(d for d in self.also if _length_of(d) is not None)]

    @property
    def said(self) -> dict[str, list[str]]:
        """What the start document says of them among the plan's arguments."""
        return {
            "detectors": list(map(repr, self.detectors)),
            "also": list(map(repr, self.also)),
        }


def checked(detectors: Iterable[Any], also: Iterable[Any] = ()) -> Devices:
    """The devices of a plan. Raises `PlanError` where not every detector takes bursts."""
    # one detector instead of a list is the commonest slip at the prompt
    if not isinstance(detectors, Iterable):
        raise PlanError(
            f"detectors is {name_of(detectors)!r}, expected a list of detectors; write "
            f"[{name_of(detectors)}]"
        )
    found = Devices(list(detectors), list(also))
    if not found.detectors:
        raise PlanError("detectors is an empty list, and nothing would be taken; name one at least")
    for detector in found.detectors:
        burst_length(detector)
    return found


def with_frames(
    plan: MsgGenerator[Any], detectors: Sequence[Any], frames: int
) -> MsgGenerator[Any]:
    """Carry out a plan in which each trigger takes `frames` frames, and set back what was set.

    The lengths are set before the plan stages the detectors, for files and descriptors are made
    for bursts of one length; and they are set back however the plan ends, also after an error or
    RE.abort (not after RE.halt, which carries nothing out). What cannot be set back, because a
    detector is gone by then, is said in the log.

    Where staging sets the length itself (`stage_sigs`, as areaDetector classes may), the value
    there is replaced for so long. Raises `PlanError` for a detector without a length.
    """
    signals = [burst_length(detector) for detector in detectors]
    before: list[tuple[Any, Any]] = []
    staged: list[tuple[Any, Any, Any]] = []

    def carry_out() -> MsgGenerator[Any]:
        for detector, signal in zip(detectors, signals, strict=True):
            # the default is what a dry run (bluesky.simulators) gets
            length = yield from bps.rd(signal, default_value=frames)
            before.append((signal, length))
            for device, key in _staged_lengths(detector, signal):
                staged.append((device, key, device.stage_sigs[key]))
                device.stage_sigs[key] = frames
            yield from bps.abs_set(signal, frames, wait=True)
        return (yield from plan)

    def set_back() -> MsgGenerator[None]:
        for signal, length in before:
            try:
                yield from bps.abs_set(signal, length, wait=True)
            except RunEngineControlException:
                raise
            except Exception as failure:
                # of a detector that is gone; that must not hide why the plan has ended, nor keep
                # the others as they are
                log.error(
                    "%s could not be set back to %s (%r); do it when the detector is back",
                    name_of(signal), length, failure,
                )  # fmt: skip

    try:
        return (yield from bpp.finalize_wrapper(carry_out(), set_back))
    finally:
        for device, key, value in staged:
            device.stage_sigs[key] = value


def _staged_lengths(detector: Any, signal: Any) -> list[tuple[Any, Any]]:
    """The entries of `stage_sigs`, as device and key, that set the length; keys may be signals."""
    names = {"num_images", "cam.num_images"}
    return [
        (device, key)
        for device in (detector, getattr(detector, "cam", None))
        for key in getattr(device, "stage_sigs", None) or {}
        if key is signal or (isinstance(key, str) and key in names)
    ]
