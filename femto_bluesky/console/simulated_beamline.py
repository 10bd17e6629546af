"""A beamline that is simulated: cameras, motors, a beam, a shutter, and a powder that dims."""

from __future__ import annotations

import math
from collections.abc import MutableMapping
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from ophyd import Signal

from femto_bluesky.console.devices import Devices, Make
from femto_bluesky.console.settings import BeamlineSettings, SettingsFileError, Twin
from femto_bluesky.devices.beam import SimulatedBeam
from femto_bluesky.devices.simulated import FrameSource, MotorWithUnits, SimulatedMotor
from femto_bluesky.devices.twins import simulated_balor, simulated_pilatus, simulated_zyla
from femto_bluesky.simulation.photons import BalorFrames, BalorSettings
from femto_bluesky.simulation.rings import RingFrames, RingSettings

FULL_SIZE = {"pilatus": (831, 1475), "zyla": (2160, 2560), "balor": (4104, 4128)}
"""Rows and columns of the real sensors."""


def brightness(delay_ps: float) -> float:
    """How bright the signal is after a laser pulse: it dims within a picosecond and comes back."""
    if delay_ps < 0:
        return 1.0
    return 1 - 0.6 * (1 - math.exp(-delay_ps / 0.5)) * math.exp(-delay_ps / 6)


def simulated_devices(settings: BeamlineSettings, namespace: MutableMapping[str, Any]) -> Devices:
    """The twins that the settings name, with a `beam` and a `shutter` (1: open), in a namespace.

    Raises `SettingsFileError` where the settings have no section `simulation`.
    """
    wanted = settings.simulation
    if wanted is None:
        raise SettingsFileError(
            "the settings have no section 'simulation'; it names the cameras and motors that are "
            "to be simulated"
        )
    units = dict.fromkeys(wanted.motors, "mm") | {wanted.motors[0]: "ps"}
    motors = {name: MotorWithUnits(name=name, labels={"motors"}, egu=units[name]) for name in units}
    shutter = Signal(name="shutter", value=1)
    raw = settings.folder("raw")
    cameras: dict[str, Make] = {
        name: partial(_camera, name, twin, raw, motors[wanted.motors[0]], shutter)
        for name, twin in wanted.cameras.items()
    }
    others: dict[str, Make] = {
        "beam": partial(SimulatedBeam, name="beam"),
        "shutter": lambda: shutter,
    }
    moving: dict[str, Make] = {name: partial(_same, motor) for name, motor in motors.items()}
    return Devices(cameras, moving, others, namespace)


class BehindAShutter:
    """Frames of a lit or of an unlit camera, as a shutter is open (1) or closed (0)."""

    def __init__(self, lit: FrameSource, unlit: FrameSource, shutter: Signal) -> None:
        self._lit, self._unlit, self._shutter = lit, unlit, shutter

    def __call__(self, index: int, position: float) -> NDArray[Any]:
        """The frame of this index, taken at this motor position."""
        return (self._lit if self._shutter.get() else self._unlit)(index, position)


def _camera(name: str, twin: Twin, raw: Path, delay: SimulatedMotor, shutter: Signal) -> Any:
    rows, columns = twin.shape
    full_rows, full_columns = FULL_SIZE[twin.kind]
    share = rows * columns / (full_rows * full_columns)
    source: FrameSource
    if twin.kind == "pilatus":
        source = _powder(twin, rows / full_rows, columns / full_columns)
        return simulated_pilatus(name, directory=raw, source=source, motor=delay)
    # the spot is what answers to the delay, half of the photons
    n_photons = twin.n_photons or max(10.0, (1000.0 if twin.kind == "balor" else 200.0) * share)
    faults = {
        "shape": twin.shape,
        "n_hot_pixels": min(20, rows * columns // 1000),
        "photon_adu": 1200.0 if twin.kind == "balor" else 300.0,
    }
    spot = {
        "n_photons": n_photons / 2, "spot_photons": n_photons / 2, "spot_y": rows / 2,
        "spot_x": columns / 2, "spot_sigma_px": max(3.0, min(rows, columns) / 6),
    }  # fmt: skip
    lit = BalorFrames(BalorSettings(**faults, **spot), scale_at=brightness)
    unlit = BalorFrames(BalorSettings(**faults, n_photons=0))
    source = BehindAShutter(lit, unlit, shutter)
    make = simulated_balor if twin.kind == "balor" else simulated_zyla
    return make(name, directory=raw, source=source, motor=delay)


def _powder(twin: Twin, high: float, wide: float) -> RingFrames:
    """A powder whose rings lie on a small sensor as they do on the full one."""
    full = RingSettings()
    settings = RingSettings(
        shape=twin.shape,
        x0=full.x0 * wide,
        y0=full.y0 * high,
        # the shorter side of the view stays what it is
        distance_m=full.distance_m * min(high, wide),
        ring_width_q=full.ring_width_q / math.sqrt(min(high, wide)),
        ring_photons=twin.n_photons or full.ring_photons * math.sqrt(high * wide),
        background_photons=full.background_photons * math.sqrt(high * wide),
        has_gaps=min(high, wide) > 0.4,
        n_dead_pixels=min(full.n_dead_pixels, twin.shape[0] * twin.shape[1] // 1000),
    )
    return RingFrames(settings, scale_at=brightness)


def _same(device: Any) -> Any:
    return device
