"""What is fuzzed: doors whose input is made of a fuzzer's bytes.

The first byte says what the others are: what comes in, byte by byte, or the choices out of which
`femto_bluesky.testing.hostile` makes input that is well formed but for a few things.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random
from tempfile import mkdtemp
from types import MappingProxyType
from typing import Any, Final

from femto_bluesky.sources.documents import Document
from femto_bluesky.sources.published import NEEDED, PublishedError
from femto_bluesky.sources.recordings import RecordingError
from femto_bluesky.sources.settings import SettingsError, parse_settings
from femto_bluesky.testing.hostile import (
    Door,
    documents,
    messages,
    passed,
    recordings,
    requests,
    text_files,
)
from femto_bluesky.testing.hostile.law import Passage, let_in
from femto_bluesky.viewer.parameters import PARAMETERS, changes_of
from tests.fuzz.chance import Bytes
from tests.fuzz.joining import joined

MADE: Final = 10**6
"""A number behind those of the inputs that are made by hand."""


def _bytes(rng: Random) -> bytes:
    assert isinstance(rng, Bytes)
    return rng.rest()


# --- recordings -------------------------------------------------------------------------------


def _recording(rng: Random, number: int, folder: Path) -> Path:
    if rng.randrange(2):
        return recordings.recording(rng, number, folder)
    path = folder / "a.cbors"
    path.write_bytes(_bytes(rng))
    return path


# --- documents --------------------------------------------------------------------------------


def _documents(rng: Random, number: int, folder: Path) -> tuple[bool, list[Document]]:
    """Whether the whole analysis gets them, and the documents."""
    is_for_all = rng.randrange(8) == 7
    return is_for_all, documents.made(rng, number, folder)


def _take_documents(given: tuple[bool, list[Document]], folder: Path) -> str | None:
    is_for_all, docs = given
    return documents.followed(docs, folder) if is_for_all else joined(docs, folder)


# --- parameters -------------------------------------------------------------------------------

_SETTINGS: Final = {"rois": {"a": {"x0": 1, "y0": 2, "x1": 3, "y1": 4, "detector": "pilatus"}}}


def _parameters(rng: Random, number: int, folder: Path) -> tuple[str, bytes]:
    way = rng.randrange(8)
    if way == 7:
        path = text_files.parameters(rng, number, folder)
        return path.name, path.read_bytes()
    names = [*PARAMETERS, "a.json", "a.yaml", "a.pkl"]
    return names[way], _bytes(rng)


def _read_parameters(given: tuple[str, bytes], folder: Path) -> str | None:
    name, data = given
    if name in PARAMETERS:
        changes_of(name, data, _SETTINGS)
    else:
        parse_settings(Path(name), data)
    return None


# --- documents of the network -----------------------------------------------------------------


def _message(rng: Random, number: int, folder: Path) -> tuple[bool, bytes]:
    """Whether it comes through Kafka, and what comes."""
    match rng.randrange(4):
        case 0:
            return False, messages.zeromq_message(rng, number, folder)
        case 1:
            return True, messages.kafka_message(rng, number, folder)
        case 2:
            return False, b" " + rng.choice([*NEEDED]).encode() + b" " + _bytes(rng)
        case _:
            return True, _bytes(rng)


def _read_message(given: tuple[bool, bytes], folder: Path) -> str | None:
    is_of_kafka, message = given
    read = messages.read_kafka if is_of_kafka else messages.read_zeromq
    return read(message, folder)


# --- the router of the results ----------------------------------------------------------------


def _request(rng: Random, number: int, folder: Path) -> dict[str, Any]:
    way = rng.randrange(4)
    if way == 3:
        return requests.posted(rng, number, folder)
    made = requests.made(rng, number, folder)
    return made if way == 2 else requests.with_text(made, _bytes(rng))


TARGETS: Final = MappingProxyType(
    {
        door.name: door
        for door in (
            Door("recordings", _recording, recordings.read, (RecordingError,)),
            Door("joiner", _documents, _take_documents),
            Door("parameters", _parameters, _read_parameters, (SettingsError,)),
            Door("router", _request, requests.asked),
            Door("messages", _message, _read_message, (PublishedError,)),
        )
    }
)


def one_input(target: str, data: bytes) -> None:
    """Let a target have an input. Raises `LawBrokenError` where it does what none may do."""
    let_in(TARGETS[target], MADE, _folder(), Bytes(data))


def warm(target: str) -> None:
    """Have loaded and compiled what the first inputs of each kind would load and compile."""
    for kind in range(8):
        one_input(target, bytes([kind]))


def measured(target: str, data: bytes, folder: Path) -> Passage:
    """The same with time and memory measured, which takes ten times as long."""
    return passed(TARGETS[target], MADE, folder, lambda: Bytes(data))


@cache
def _folder() -> Path:
    """In memory, where there is such a place: it is emptied for each input."""
    shm = Path("/dev/shm")
    return Path(mkdtemp(prefix="femto-fuzz-", dir=shm if shm.is_dir() else None)) / "a"
