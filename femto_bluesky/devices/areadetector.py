"""FemtoMAX's cameras behind areaDetector IOCs: Pilatus, Zyla, Balor.

The drivers' records: https://areadetector.github.io/areaDetector/ADPilatus/pilatusDoc.html and
https://areadetector.github.io/areaDetector/ADAndor3/andor3.html
"""

from __future__ import annotations

from ophyd import Component, Signal
from ophyd.areadetector.cam import Andor3DetectorCam, PilatusDetectorCam

from femto_bluesky.devices.burst_detector import BurstDetector
from femto_bluesky.devices.raw_frames import DispensableFrames
from femto_bluesky.model.detectors import DetectorSettings


class Pilatus(BurstDetector):
    """A Dectris Pilatus (`PilatusDetectorCam`). Configuration: threshold energy (keV), gain."""

    configured = ("threshold_energy", "gain_menu", "num_exposures")
    pixel_m = 172e-6
    cam = Component(PilatusDetectorCam, "cam1:")


class AndorCamera(BurstDetector):
    """An Andor sCMOS camera (`Andor3DetectorCam`).

    Configuration beside the driver's: `<name>_dark_adu` and `<name>_threshold_adu`, the dark level
    and the threshold above it that the name stands for in the table of detectors (0 where it stands
    for none), and `<name>_pixel_size_m` likewise.
    """

    # its ImageMode is Fixed or Continuous: 1, which ophyd's trigger mixins set, would never end
    mode_of_bursts = "Fixed"
    configured = (
        "a3_binning", "a3_shutter_mode", "pre_amp_gain", "pixel_encoding", "temperature_actual",
    )  # fmt: skip
    own_configuration = (*BurstDetector.own_configuration, "dark_adu", "threshold_adu")
    cam = Component(Andor3DetectorCam, "cam1:")
    dark_adu = Component(Signal, value=0.0, kind="config")
    threshold_adu = Component(Signal, value=0.0, kind="config")

    def _take_over(self, known: DetectorSettings) -> None:
        self.dark_adu.put(float(known.dark_adu or 0))
        self.threshold_adu.put(float(known.threshold_adu))


class Zyla(AndorCamera):
    """An Andor Zyla; `name` is "andor3_zyla10" or "andor3_zyla12", by which it is known."""


class Balor(AndorCamera, DispensableFrames):
    """An Andor Balor, whose raw frames need not be kept: see `DispensableFrames`."""

    own_configuration = (*AndorCamera.own_configuration, "save_raw")
