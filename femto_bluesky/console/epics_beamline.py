"""A beamline behind EPICS: cameras with areaDetector IOCs, motor records, other values."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from functools import partial
from typing import Any

import ophyd
from ophyd import EpicsMotor, EpicsSignal

from femto_bluesky.console.devices import Devices, Make
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
    cameras: dict[str, Make] = {
        name: partial(_camera, settings, name, camera, timeout)
        for name, camera in wanted.cameras.items()
    }
    motors: dict[str, Make] = {
        name: partial(_motor, name, prefix, timeout) for name, prefix in wanted.motors.items()
    }
    others: dict[str, Make] = {
        name: partial(_signal, name, variable, timeout) for name, variable in wanted.signals.items()
    }
    # Channel Access wants its context in each thread
    return Devices(cameras, motors, others, namespace, thread_class=ophyd.cl.thread_class)


def _camera(settings: BeamlineSettings, name: str, camera: Camera, timeout: float) -> Any:
    # its signals connect when they are asked for, so one is asked before: none answers, or all do
    asked = EpicsSignal(f"{camera.prefix}cam1:Acquire_RBV", name=f"{name}_asked")
    try:
        _wait(asked, camera.prefix, timeout)
    finally:
        asked.destroy()
    device = KINDS[camera.kind](
        camera.prefix,
        name=name,
        directory=settings.folder("raw"),
        ioc_directory=camera.ioc_path,
    )
    if not camera.save_raw and camera.kind == "balor":
        device.save_raw.put(False)
    return device


def _motor(name: str, prefix: str, timeout: float) -> Any:
    motor = EpicsMotor(prefix, name=name, labels={"motors"})
    _wait(motor, prefix, timeout)
    return motor


def _signal(name: str, variable: str, timeout: float) -> Any:
    signal = EpicsSignal(variable, name=name)
    _wait(signal, variable, timeout)
    return signal


def _wait(device: Any, variable: str, timeout: float) -> None:
    try:
        device.wait_for_connection(timeout=timeout)
    except Exception as error:
        device.destroy()
        raise TimeoutError(f"nothing at {variable} within {timeout:g} s") from error
