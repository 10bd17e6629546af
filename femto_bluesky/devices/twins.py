"""Simulated twins of the beamline's cameras.

A twin is the class of the real camera over a simulated IOC (`simulated_ioc`), so it has the same
attributes, data keys, configuration and documents, and writes real HDF5 files. The frames come from
`femto_bluesky.simulation`; `twin.ioc.bursts` and `twin.ioc.truth(burst)` tell what was in them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from ophyd.sim import make_fake_device

from femto_bluesky.devices.areadetector import Balor, Pilatus, Zyla
from femto_bluesky.devices.burst_detector import BurstDetector
from femto_bluesky.devices.hdf5_plugin import PluginStyle
from femto_bluesky.devices.simulated import FrameSource, HasPosition
from femto_bluesky.devices.simulated_ioc import SimulatedIoc
from femto_bluesky.simulation.photons import BalorFrames, BalorSettings
from femto_bluesky.simulation.rings import RingFrames

Camera = TypeVar("Camera", bound=BurstDetector)

ZYLA = BalorSettings(shape=(2160, 2560), n_photons=200, photon_adu=300, n_hot_pixels=20)
"""What the twin of a Zyla sees where nothing else is given: few photons, each 300 ADU."""


def simulated_pilatus(
    name: str = "pilatus",
    *,
    directory: str | Path,
    source: FrameSource | None = None,
    motor: HasPosition | None = None,
    style: PluginStyle = "stream",
) -> Pilatus:
    """A Pilatus whose frames are `RingFrames` where no `source` is given; see `SimulatedIoc`."""
    return _twin(Pilatus, name, directory, source or RingFrames(), motor, style)


def simulated_zyla(
    name: str = "andor3_zyla10",
    *,
    directory: str | Path,
    source: FrameSource | None = None,
    motor: HasPosition | None = None,
    style: PluginStyle = "stream",
) -> Zyla:
    """A Zyla whose frames are `BalorFrames(ZYLA)` where no `source` is given."""
    return _twin(Zyla, name, directory, source or BalorFrames(ZYLA), motor, style)


def simulated_balor(
    name: str = "andor3_balor1",
    *,
    directory: str | Path,
    source: FrameSource | None = None,
    motor: HasPosition | None = None,
    style: PluginStyle = "stream",
) -> Balor:
    """A Balor whose frames are `BalorFrames` where no `source` is given."""
    return _twin(Balor, name, directory, source or BalorFrames(), motor, style)


def _twin(
    camera: type[Camera],
    name: str,
    directory: str | Path,
    source: FrameSource,
    motor: HasPosition | None,
    style: PluginStyle,
) -> Camera:
    fake: type[Camera] = make_fake_device(camera)  # remembered by ophyd
    twin = fake(f"SIM:{name}:", name=name, directory=directory, style=style)
    twin.ioc = SimulatedIoc(twin, source, motor)
    return twin
