"""Read the predecessor's recorded streams as Bluesky runs.

``read(["pilatus.cbors.gz", "sardana.cbors"])`` gives (name, document) pairs. The files of one
scan are merged by event number. What closes a step: a RecordData of sardana, a `running` message
of contrast, or, where a recording has neither, every frame.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from femto_bluesky.sources.documents import Document
from femto_bluesky.sources.predecessor.frames import HELD_BYTES
from femto_bluesky.sources.predecessor.messages import DamagedRecordingError, RecordingError, check
from femto_bluesky.sources.predecessor.runreader import RunReader

__all__ = ["DamagedRecordingError", "RecordingError", "read"]


def read(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    held_bytes: int = HELD_BYTES,
) -> Iterator[Document]:
    """The runs in one or several recorded files of one scan, as (name, document) pairs.

    An image is in its event as ``<stream>_image``, a burst of shape (frames, rows, columns) that
    loads a frame when it is asked for; a burst of more than `held_bytes` bytes is read from the
    file again instead of being held. Uids follow from the contents: reading twice gives the same.

    A recording that is cut off or corrupt is used up to the damage; then the run's stop document
    says 'fail' and names the file and the byte offset. One that just ends in a scan says 'abort':
    the recording was stopped, which does not prove that anything went wrong.

    Raises FileNotFoundError and `RecordingError` at once where a file is missing or no recording,
    and `RecordingError` at the end where there was damage that no run could tell of.
    """
    several = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    files = [Path(path) for path in several]
    if not files:
        raise RecordingError("no recording is given; name one or several files")
    for path in files:
        check(path)
        if files.count(path) > 1:
            raise RecordingError(f"{path} is given twice; give one recording of each stream")
    return RunReader(files, held_bytes).documents()
