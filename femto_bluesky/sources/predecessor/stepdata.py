"""What the data streams brought since the last step: frames, spectra, and bytes of unknown type."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from femto_bluesky.sources.predecessor import unpickle
from femto_bluesky.sources.predecessor.frames import (
    BurstBuilder,
    FrameError,
    FramePlace,
    RereadFiles,
    check_bytes,
    parse_format,
    parse_json,
)
from femto_bluesky.sources.predecessor.messages import Item, Stream
from femto_bluesky.sources.predecessor.readings import Reading, ReadingError, flat, key_of, plain

log = logging.getLogger(__name__)

IMAGES: Final = "STINS"
SPECTRA: Final = "xspress"
# The order in which the Xspress3 sends its per-channel values where it does not name them.
CHANNEL_VALUES: Final = (
    "ocr",
    "AllEvents",
    "AllGood",
    "ClockTicks",
    "TotalTicks",
    "ResetTicks",
    "event_widths",
    "dtc",
)
_NOT_SETTINGS: Final = frozenset({"htype", "msg_number", "frame", "shape", "type", "compression"})


@dataclass
class _Collected:
    typ: str
    builder: BurstBuilder
    columns: dict[str, list[Any]] = field(default_factory=dict)
    n_bytes: list[int] = field(default_factory=list)


class StepData:
    """Collects the frames of the data streams until a step takes them."""

    def __init__(self, files: RereadFiles, held_bytes: int) -> None:
        self._files = files
        self._held_bytes = held_bytes
        self._streams: dict[str, _Collected] = {}
        self._unknown: set[str] = set()
        self.configuration: dict[str, dict[str, Any]] = {}
        self.ended: set[str] = set()

    def add(self, item: Item, name: str, stream: Stream) -> str:
        """Take what one stream brought; returns header, image, series_end or unknown.

        Raises `FrameError`, naming the event, where it is not what it says.
        """
        if stream.typ not in (IMAGES, SPECTRA):
            if name not in self._unknown:
                self._unknown.add(name)
                log.warning(
                    "the stream %r is of the unknown type %r: only the length of its bytes is "
                    "kept, as %s_n_bytes",
                    name,
                    stream.typ,
                    key_of(name),
                )
            self._of(name, stream).n_bytes.append(sum(len(frame) for frame in stream.frames))
            return "unknown"
        try:
            return self._add_known(item, name, stream)
        except FrameError as error:
            raise FrameError(f"event {item.event_number}, stream {name!r}: {error}") from error

    def counts(self) -> dict[str, int]:
        """How many frames each stream brought since the last step; none where it brought none."""
        found = {}
        for name, one in self._streams.items():
            if n := max(len(one.builder), len(one.n_bytes)):
                found[name] = n
        return found

    def take(self) -> list[Reading]:
        """The readings of the step that ends here; the next one begins."""
        # Sorted by name: the order in which the files are given must not show.
        streams = sorted(self._streams.items())
        readings = [r for name, one in streams for r in self._readings(name, one)]
        self._streams.clear()
        return readings

    def n_frames(self) -> int:
        """The frames of the longest burst since the last step."""
        return max(self.counts().values(), default=0)

    def _of(self, name: str, stream: Stream) -> _Collected:
        return self._streams.setdefault(
            name, _Collected(stream.typ, BurstBuilder(self._files, self._held_bytes))
        )

    def _add_known(self, item: Item, name: str, stream: Stream) -> str:
        if not stream.frames:
            raise FrameError("the message holds no header")
        header = parse_json(stream.frames[0])
        kind = header.get("htype")
        if kind in ("header", "series_end"):
            settings = {k: v for k, v in header.items() if k not in _NOT_SETTINGS}
            if len(stream.frames) > 1 and stream.frames[1]:
                settings |= parse_json(stream.frames[1])
            self._configure(name, settings, begins=kind == "header")
            return str(kind)
        if kind != "image":
            raise FrameError(f"the htype is {kind!r:.60}; expected header, image or series_end")
        if len(stream.frames) < 2:
            raise FrameError("the image has a header but no pixels")
        payload = stream.frames[1]
        fmt = parse_format(header)
        check_bytes(payload, fmt)
        columns = self._channel_values(item, header, stream) if stream.typ == SPECTRA else {}
        one = self._of(name, stream)
        place = FramePlace(item.path, item.offset, name, item.event_number)
        one.builder.add(fmt, place, payload)
        for key, value in columns.items():
            one.columns.setdefault(key, []).append(value)
        return "image"

    def _configure(self, name: str, settings: dict[str, Any], *, begins: bool) -> None:
        if begins:
            self.ended.discard(name)
            self.configuration[name] = {}
        else:
            self.ended.add(name)
        values = self.configuration.setdefault(name, {})
        try:
            for key, leaf in flat("", settings):
                value = plain(leaf)
                values[key_of(key)] = value.tolist() if isinstance(value, np.ndarray) else value
        except ReadingError as error:
            raise FrameError(str(error)) from error

    @staticmethod
    def _channel_values(item: Item, header: dict[str, Any], stream: Stream) -> dict[str, Any]:
        columns: dict[str, Any] = {}
        if isinstance(header.get("exptime"), (int, float)):
            columns["exptime"] = float(header["exptime"])
        if len(stream.frames) < 3:
            return columns
        try:
            values = unpickle.loads(stream.frames[2], where=f"event {item.event_number}")
        except unpickle.UnpickleError as error:
            raise FrameError(str(error)) from error
        if isinstance(values, (list, tuple)):
            names = [*CHANNEL_VALUES, *(f"value_{i}" for i in range(len(values)))]
            values = dict(zip(names, values, strict=False))
        if not isinstance(values, dict):
            raise FrameError(f"the values of the channels are a {type(values).__name__}")
        return columns | {str(k): plain(v) for k, v in values.items() if v is not None}

    def _readings(self, name: str, one: _Collected) -> Iterator[Reading]:
        owner = key_of(name)
        if one.n_bytes:
            lengths: Any = one.n_bytes[0] if len(one.n_bytes) == 1 else np.array(one.n_bytes)
            dims = () if len(one.n_bytes) == 1 else ("frame",)
            yield Reading(f"{owner}_n_bytes", owner, lengths, dims)
        n = len(one.builder)
        if not n:
            return
        burst = one.builder.take()
        if one.typ == IMAGES:
            yield Reading(f"{owner}_image", owner, burst, ("frame", "y", "x"))
            return
        # A single set of spectra has no axis of frames.
        alone = n == 1
        frame = () if alone else ("frame",)
        spectra: Any = burst[0] if alone else burst
        yield Reading(f"{owner}_spectra", owner, spectra, (*frame, "channel", "bin"))
        for key, values in one.columns.items():
            # A value that some frames of a burst lack cannot stand in an array of all of them.
            shapes = {np.shape(value) for value in values}
            if len(values) != n or len(shapes) != 1:
                continue
            (shape,) = shapes
            dims = (*frame, "channel") if len(shape) == 1 else frame if not shape else ()
            yield Reading(
                f"{owner}_{key_of(key)}", owner, values[0] if alone else np.stack(values), dims
            )
