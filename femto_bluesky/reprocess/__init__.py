"""Many runs analysed again on many cores or machines; the result is that of one process.

`reprocess` is for any analysis of the package, and for a user's own that keeps the contract.
"""

from femto_bluesky.reprocess.clusters import local_cluster
from femto_bluesky.reprocess.group_by import GroupBy, GroupByError
from femto_bluesky.reprocess.results import Broken, Group, Progress, Reprocessed, RunInfo
from femto_bluesky.reprocess.run import ReprocessError, reprocess

__all__ = [
    "Broken",
    "Group",
    "GroupBy",
    "GroupByError",
    "Progress",
    "ReprocessError",
    "Reprocessed",
    "RunInfo",
    "local_cluster",
    "reprocess",
]
