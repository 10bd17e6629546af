"""Raw files of frames, analysed without a run: photons found in them, hot pixels learned."""

from femto_bluesky.offline.counting import CountedFile, CountingError, count_photons
from femto_bluesky.offline.hot_pixels import learn_hot_pixels
from femto_bluesky.offline.raw_files import RawFileError, dataset_of
from femto_bluesky.offline.workers import WorkerDiedError, Workers

__all__ = ["CountedFile", "CountingError", "RawFileError", "WorkerDiedError", "Workers",
           "count_photons", "dataset_of", "learn_hot_pixels"]  # fmt: skip
