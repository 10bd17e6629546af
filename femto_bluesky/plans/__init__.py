"""Plans of this beamline: scans of bursts, frames without a scan, darks."""

from femto_bluesky.plans.bursts import PlanError, with_frames
from femto_bluesky.plans.darks import collect_dark
from femto_bluesky.plans.scans import burst_grid, burst_scan
from femto_bluesky.plans.without_scan import continuous

__all__ = [
    "PlanError",
    "burst_grid",
    "burst_scan",
    "collect_dark",
    "continuous",
    "with_frames",
]
