"""The hot pixels of a camera, learned from raw files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from femto_bluesky.model.hot_pixels import HotPixelSearch
from femto_bluesky.offline.counting import Progress
from femto_bluesky.offline.raw_files import dataset_of, open_frames


def learn_hot_pixels(
    paths: Sequence[Path | str],
    search: HotPixelSearch,
    *,
    dataset: str | None = None,
    progress: Progress | None = None,
) -> HotPixelSearch:
    """Show a search all frames of raw HDF5 files of one camera, and return it.

    Raises `RawFileError` and `FrameError` for a file without frames, `ValueError` for frames that
    differ in shape.
    """
    sources = [open_frames(Path(path), dataset_of(Path(path), dataset)) for path in paths]
    lengths = []
    for source in sources:
        lengths.append(len(source))
        source.close()
    done = 0
    for source, n_frames in zip(sources, lengths, strict=True):
        try:
            for index in range(n_frames):
                try:
                    search.add(source.read(index))
                except ValueError as error:
                    raise ValueError(f"{source.path}, frame {index}: {error}") from error
                done += 1
                if progress is not None:
                    progress(done, sum(lengths))
        finally:
            source.close()
    return search
