"""What the joiner hands out: runs that start and stop, and events with their frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from femto_bluesky.sources.documents import detector_names
from femto_bluesky.stream.frames import FrameError, FrameSource

Document = Mapping[str, Any]

FIRST_FRAME = "_first_frame"
"""Data key `<detector>_first_frame`: where in its file the burst of this event begins (from 0)."""

N_FRAMES = "_n_frames"
"""Data key `<detector>_n_frames`: how many frames the burst of this event has."""

HISTORY = 1000
"""How many events back a rewound plan may go; one is all that plans with checkpoints need."""


class JoinError(FrameError):
    """Events and frames that do not agree."""


@dataclass(frozen=True, slots=True)
class ImageKey:
    """A data key that holds frames, as its descriptor declares it."""

    key: str
    detector: str
    n_frames: int
    shape: tuple[int, int] | None
    dtype: str | None
    is_streamed: bool


MISSING_REMEDY = "copy the whole file, or leave out the run's last events"


@dataclass(frozen=True, slots=True)
class Burst:
    """The frames of one detector in one event: `start` to `stop` (half open) of a source.

    `where` and `seq_num` are the run, stream and key, and the event, as errors name them.
    """

    image: ImageKey
    source: FrameSource | None
    start: int
    stop: int
    where: str = ""
    seq_num: int = 0

    def frames(self) -> Iterator[NDArray[Any]]:
        """Each frame in turn, 2-D; the next one may use the same memory."""
        if self.source is None:
            raise JoinError(
                f"{self.image.key}: the frames of an event that was taken again stood in the "
                "document and are gone, expected them to be taken out of a sum; reset the "
                "accumulation, put a checkpoint before each event of the plan, or let the detector "
                "write files"
            )
        for index in range(self.start, self.stop):
            pixels = self.source.read(index)
            if self.image.shape is not None and pixels.shape != self.image.shape:
                raise JoinError(
                    f"{self.image.key}: frame {index} has shape {pixels.shape}, its descriptor "
                    f"says {self.image.shape}; configure the detector anew before the readout "
                    "region changes, so that a new descriptor says so"
                )
            yield pixels

    @property
    def is_there(self) -> bool:
        """Whether all frames are; what writes the file may be behind. Raises `JoinError`."""
        return self.source is None or self._count(self.source) >= self.stop

    def check(self) -> None:
        """Raise `JoinError` unless all frames are there."""
        if not self.is_there:
            there = 0 if self.source is None else self._count(self.source)
            raise JoinError(f"{self.where}: {self.missing(there)}; {MISSING_REMEDY}")

    def missing(self, there: int) -> str:
        """What is wrong where only so many frames are there."""
        return (
            f"event {self.seq_num} needs the frames {self.start} to {self.stop - 1}, found {there} "
            f"in the file, expected {self.stop} or more: a burst was short, or frames were lost"
        )

    def _count(self, source: FrameSource) -> int:
        try:
            return len(source)
        except FrameError as error:
            raise JoinError(f"{self.where}: {error}") from error


@dataclass(slots=True)
class JoinedEvent:
    """An event with the frames of every detector in it."""

    start: Document
    descriptor: Document
    doc: Document
    bursts: dict[str, Burst]
    replaces: JoinedEvent | None = None

    @property
    def seq_num(self) -> int:
        """The event's number within its stream, from 1."""
        return int(self.doc["seq_num"])


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run has begun."""

    start: Document


@dataclass(frozen=True, slots=True)
class RunStopped:
    """A run has ended."""

    start: Document
    stop: Document


Joined = RunStarted | JoinedEvent | RunStopped


@dataclass(frozen=True, slots=True)
class RunFailed:
    """Documents of a run could not be joined; None where it is not known of which."""

    run: str | None
    failure: Exception


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The stop document of a run has come, also of one that has failed."""

    run: str
    stop: Document


@dataclass(frozen=True, slots=True)
class Released:
    """Frames that no later event can be of."""

    source: FrameSource


Item = Joined | RunFailed | RunEnded | Released
"""What is made of documents at once, and waits to be analysed."""


def as_it_is_now(joined: Joined) -> Joined:
    """What was joined, for later: from an event, the joiner takes frames when the next comes."""
    if not isinstance(joined, JoinedEvent):
        return joined
    before = joined.replaces
    if before is not None:
        before = replace(before, bursts=dict(before.bursts))
    return replace(joined, bursts=dict(joined.bursts), replaces=before)


def image_keys(descriptor: Document) -> list[ImageKey]:
    """The data keys of a descriptor that hold frames: arrays of 2 or 3 dimensions.

    An array whose `dims` name a "channel" is a set of spectra, not an image.
    """
    found = []
    for key, detector in detector_names(descriptor).items():
        entry = descriptor["data_keys"][key]
        shape = [size or 0 for size in entry["shape"]]
        declared = (int(shape[-2]), int(shape[-1]))
        found.append(
            ImageKey(
                key=key,
                detector=detector,
                n_frames=int(shape[0]) if len(shape) == 3 else 1,
                shape=declared if min(declared) > 0 else None,
                dtype=_dtype_of(entry),
                is_streamed=entry.get("external") == "STREAM:",
            )
        )
    return found


def _dtype_of(entry: Mapping[str, Any]) -> str | None:
    dtype = entry.get("dtype_numpy")
    return dtype if isinstance(dtype, str) else None
