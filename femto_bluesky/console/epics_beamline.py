"""A beamline behind EPICS: cameras with areaDetector IOCs, motor records, other values."""

from __future__ import annotations

import time
from collections.abc import Callable, MutableMapping, Sequence
from functools import partial
from typing import Any

import ophyd
from ophyd import EpicsMotor, EpicsSignal

from femto_bluesky.console.devices import Devices
from femto_bluesky.console.settings import BeamlineSettings, Camera, SettingsFileError
from femto_bluesky.devices.areadetector import Balor, Pilatus, Zyla

KINDS: dict[str, Callable[..., Any]] = {"pilatus": Pilatus, "zyla": Zyla, "balor": Balor}


def epics_devices(settings: BeamlineSettings, namespace: MutableMapping[str, Any]) -> Devices:
    """The devices that the settings name, in a namespace. Nothing is asked of them yet.

    Raises `SettingsFileError` where the settings have no section `epics`, or nothing here can talk
    to EPICS.
    """
    wanted = settings.epics
    if wanted is None:
        raise SettingsFileError(
            "the settings have no section 'epics'; it names the cameras and motors of the beamline "
            "and what their process variables begin with"
        )
    if ophyd.cl.name == "dummy":
        raise SettingsFileError(
            "nothing here can talk to EPICS; install pyepics: pip install 'femto-bluesky[beamline]'"
        )
    timeout = wanted.connection_timeout_s
    cameras = {
        name: _Searched(
            partial(EpicsSignal, f"{camera.prefix}cam1:Acquire_RBV", name=f"{name}_asked"),
            camera.prefix, timeout, partial(_camera, settings, name, camera),
        )
        for name, camera in wanted.cameras.items()
    }  # fmt: skip
    motors = {
        name: _Searched(
            partial(EpicsMotor, prefix, name=name, labels={"motors"}), prefix, timeout, _itself
        )
        for name, prefix in wanted.motors.items()
    }
    others = {
        name: _Searched(partial(EpicsSignal, variable, name=name), variable, timeout, _itself)
        for name, variable in wanted.signals.items()
    }
    searched = {**cameras, **motors, **others}

    def ask(names: Sequence[str]) -> None:
        for name in names:
            searched[name].begin()

    return Devices(cameras, motors, others, namespace, ask=ask)


class _Searched:
    """A device whose process variable is searched for from `begin` on; a call waits for it.

    What was not found is left alone: to give channels up while others are searched for has ended
    the process in libca. They cost a packet now and then.
    """

    def __init__(
        self,
        search: Callable[[], Any],
        variable: str,
        timeout_s: float,
        device_of: Callable[[Any], Any],
    ) -> None:
        self._search, self._variable = search, variable
        self._timeout_s, self._device_of = timeout_s, device_of
        self._found: Any = None
        self._left_alone: list[Any] = []
        self._deadline = 0.0

    def begin(self) -> None:
        """Search anew: what has not answered for long is asked ever more rarely."""
        if self._found is not None:
            self._left_alone.append(self._found)
        self._found = self._search()
        self._deadline = time.monotonic() + self._timeout_s

    def __call__(self) -> Any:
        """The device. Raises `TimeoutError` where nothing has answered since `begin`."""
        try:
            left = self._deadline - time.monotonic()
            self._found.wait_for_connection(timeout=max(left, 0.05))
        except Exception as error:
            raise TimeoutError(
                f"nothing at {self._variable} within {self._timeout_s:g} s"
            ) from error
        return self._device_of(self._found)


def _camera(settings: BeamlineSettings, name: str, camera: Camera, _: Any) -> Any:
    """A camera whose IOC answers: its signals connect when they are asked for."""
    device = KINDS[camera.kind](
        camera.prefix,
        name=name,
        directory=settings.folder("raw"),
        ioc_directory=camera.ioc_path,
    )
    if not camera.save_raw and camera.kind == "balor":
        device.save_raw.put(False)
    return device


def _itself(found: Any) -> Any:
    return found
