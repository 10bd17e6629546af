"""What a photon file keeps of a frame, whoever writes it: live, or a part by a worker."""

from __future__ import annotations

import numpy as np

from femto_bluesky.files.photon_file import FrameRow
from femto_bluesky.kernels.photons import PHOTON, Photons
from femto_bluesky.model.photons import CrowdedFrame, PhotonFrame
from femto_bluesky.model.shots import Shot
from femto_bluesky.stream.events import Burst


def row_of(shot: Shot, frame: PhotonFrame | CrowdedFrame, burst: Burst, index: int) -> FrameRow:
    """The row of a shot's frame, which is number `index` of its burst."""
    is_in_file = burst.source is not None and burst.source.file is not None
    return FrameRow(
        frame=burst.start + index if is_in_file else shot.number,
        shot=shot.number,
        step=shot.step,
        time=shot.time,
        n_hot=frame.n_hot,
        is_crowded=isinstance(frame, CrowdedFrame),
        overlap_share=frame.overlap_share,
        position=dict(shot.position),
        labels=dict(shot.labels),
    )


def photons_of(frame: PhotonFrame | CrowdedFrame) -> Photons:
    """The photons of a frame, none where it is crowded; not a copy."""
    return frame.photons if isinstance(frame, PhotonFrame) else np.empty(0, PHOTON)
