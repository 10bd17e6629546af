"""The analyses: what users subscribe to a RunEngine or replay a run into."""

from femto_bluesky.callbacks.accumulation import Accumulation
from femto_bluesky.callbacks.azimuthal_integration import AzimuthalIntegration
from femto_bluesky.callbacks.checkpoints import Checkpoints
from femto_bluesky.callbacks.cmos_cleaning import CmosCleaning
from femto_bluesky.callbacks.dark_collection import DarkCollection
from femto_bluesky.callbacks.live_analysis import LiveAnalysis
from femto_bluesky.callbacks.photon_detection import PhotonDetection
from femto_bluesky.callbacks.result_files import ResultFiles
from femto_bluesky.callbacks.roi_means import RoiMeans
from femto_bluesky.callbacks.step_means_plot import StepMeansPlot

__all__ = [
    "Accumulation",
    "AzimuthalIntegration",
    "Checkpoints",
    "CmosCleaning",
    "DarkCollection",
    "LiveAnalysis",
    "PhotonDetection",
    "ResultFiles",
    "RoiMeans",
    "StepMeansPlot",
]
