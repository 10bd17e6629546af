"""The devices of a session by their names, and those that do not answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any, NoReturn

from femto_bluesky.console.errors import ConsoleError
from femto_bluesky.devices.raw_frames import DispensableFrames, PhotonKeeper

log = logging.getLogger(__name__)

Make = Callable[[], Any]
"""What gives a device once it answers; raises where it does not."""

Ask = Callable[[Sequence[str]], object]
"""What looks for the devices of these names, all at once, and waits for none of them."""


class DeviceError(ConsoleError):
    """A device that does not answer, or that there is none of."""


class Unreachable:
    """Stands for a device that does not answer: whatever is asked of it, it says so."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason

    def __repr__(self) -> str:
        return f"<{self.name} does not answer: {self.reason}>"

    def __getattr__(self, attribute: str) -> NoReturn:
        if attribute.startswith("_"):  # what IPython and copy ask everything for
            raise AttributeError(attribute)
        raise DeviceError(
            f"{self.name} does not answer ({self.reason}). Start what drives it, then call "
            "connect_devices()"
        )


class Devices:
    """What there is at a beamline, by name, and put into a namespace such as that of the prompt.

    `cameras`, `motors` and `others` (signals, a shutter, the beam) say how to make each device.
    `connect` has `ask` look for all of them before it waits for the first, so that one that does
    not answer holds nobody up; an `Unreachable` stands in its place, until a later `connect` finds
    it. All is done in the thread of the caller: Channel Access has ended the process where devices
    were made, and given up, in several threads at once.
    """

    def __init__(
        self,
        cameras: Mapping[str, Make],
        motors: Mapping[str, Make],
        others: Mapping[str, Make],
        namespace: MutableMapping[str, Any],
        *,
        ask: Ask = lambda _: None,
    ) -> None:
        self.cameras, self.motors, self.others = list(cameras), list(motors), list(others)
        self._make = {**cameras, **motors, **others}
        self._namespace = namespace
        self._ask = ask
        self._found: dict[str, Any] = {}
        self._keeper: PhotonKeeper | None = None
        names = [*cameras, *motors, *others]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise DeviceError(
                f"two devices are called {', '.join(twice)}; take another name in the settings file"
            )

    def __getitem__(self, name: str) -> Any:
        return self._found[name]

    def __repr__(self) -> str:
        rows = {"cameras": self.cameras, "motors": self.motors, "others": self.others}
        lines = [f"{what:8} {', '.join(names)}" for what, names in rows.items() if names]
        missing = self.unreachable
        lines += [f"{name} does not answer: {reason}" for name, reason in missing.items()]
        return "\n".join(lines)

    @property
    def unreachable(self) -> dict[str, str]:
        """Why devices do not answer, by their names."""
        return {
            name: device.reason
            for name, device in self._found.items()
            if isinstance(device, Unreachable)
        }

    def connect(self) -> Devices:
        """Make every device that is not there yet; see what answers."""
        wanted = [
            name for name in self._make if name not in self._found or name in self.unreachable
        ]
        self._ask(wanted)
        for name in wanted:
            self._connect(name)
        self._namespace.update(self._found)
        self._set_keeper()
        return self

    def keep_photons_with(self, keeper: PhotonKeeper) -> None:
        """Give the cameras that may do without raw frames who sees to their photons."""
        self._keeper = keeper
        self._set_keeper()

    def _set_keeper(self) -> None:
        for device in self._found.values():
            if isinstance(device, DispensableFrames):
                device.photon_keeper = self._keeper

    def _connect(self, name: str) -> None:
        began = time.monotonic()
        try:
            self._found[name] = self._make[name]()
        except Exception as error:  # the others work without it
            self._found[name] = Unreachable(name, _first_line(error))
        log.debug("%s: %.1f s, %r", name, time.monotonic() - began, self._found[name])


def called(device: Any) -> Any:
    """The name of a device; at the prompt it may be given itself, or its name."""
    return getattr(device, "name", device)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
