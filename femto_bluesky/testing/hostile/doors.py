"""The doors where input of others comes in, each with its hostile input."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from femto_bluesky.files.arrays import ImageFileError
from femto_bluesky.files.checked import XyeError, XyeFileError
from femto_bluesky.files.geometries import GeometryFileError
from femto_bluesky.offline.raw_files import RawFileError
from femto_bluesky.sources.jsonl import JsonLinesError
from femto_bluesky.sources.published import PublishedError
from femto_bluesky.sources.recordings import RecordingError
from femto_bluesky.sources.replay import SourceError
from femto_bluesky.sources.settings import SettingsError
from femto_bluesky.stream.frames import FrameError
from femto_bluesky.testing.hostile import (
    connections,
    documents,
    hdf5_files,
    images,
    messages,
    pairs,
    recordings,
    requests,
    text_files,
)
from femto_bluesky.testing.hostile.law import Door

DOORS: Final = MappingProxyType(
    {
        door.name: door
        for door in (
            Door("documents", documents.made, documents.followed),
            Door("replayed documents", pairs.made, pairs.replayed, (SourceError,)),
            Door("JSON lines", text_files.lines, text_files.read_lines, (JsonLinesError,)),
            Door("settings", text_files.parameters, text_files.read_parameters, (SettingsError,)),
            Door(
                "geometries", text_files.geometry, text_files.read_a_geometry, (GeometryFileError,)
            ),
            Door("recordings", recordings.recording, recordings.read, (RecordingError,)),
            Door(
                "raw HDF5 files", hdf5_files.made, hdf5_files.read_raw, (RawFileError, FrameError)
            ),
            Door(
                "photon files", hdf5_files.made, hdf5_files.read_photons, (XyeError, XyeFileError)
            ),
            Door("HDF5 masks", hdf5_files.made, hdf5_files.read_mask, (ImageFileError,)),
            Door("other masks", images.made, hdf5_files.read_mask, (ImageFileError,)),
            Door("0MQ", messages.zeromq_message, messages.read_zeromq, (PublishedError,)),
            Door("Kafka", messages.kafka_message, messages.read_kafka, (PublishedError,)),
            Door("HTTP requests", requests.made, requests.asked),
            Door("POST bodies", requests.posted, requests.asked),
            Door("HTTP connections", connections.http, connections.sent),
            Door("websocket messages", requests.messages, requests.received),
            Door("websocket connections", connections.websocket, connections.sent),
        )
    }
)
