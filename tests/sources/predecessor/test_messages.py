from __future__ import annotations

import contextlib
import resource
from pathlib import Path
from typing import Any

import cbor2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from femto_bluesky.sources.predecessor import bytesource, messages
from femto_bluesky.sources.predecessor.bytesource import ByteSource
from femto_bluesky.sources.predecessor.messages import DamagedRecordingError, RecordingError
from tests.sources import recorder

FRAMES = [np.full((3, 4), i, np.uint16) for i in range(5)]
MESSAGES = recorder.stins("cam", FRAMES)


def until_damage(path: Path) -> tuple[list[int], DamagedRecordingError]:
    found = []
    try:
        for item in messages.items(path):
            found.append(item.event_number)
    except DamagedRecordingError as error:
        return found, error
    raise AssertionError(f"{path} is not damaged")


def message(
    *, number: bytes = b"\x01", streams: bytes = b"\xa0", time: bytes = b"\xc1\x01"
) -> bytes:
    """A message of CBOR parts, to be damaged."""
    return b"\xd9\xa7\x7d\x83" + number + streams + time


def frames(item: bytes) -> bytes:
    """A message whose stream "a" has this item as its frames."""
    return message(streams=b"\xa1\x61a\xd9\xa7\x7e\x82\x61t" + item)


def test_the_smallest_message_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.cbors"
    for data in (message(), message(time=cbor2.dumps(recorder.T0)), b"\xd9\xd9\xf7" + message()):
        path.write_bytes(data)
        (item,) = messages.items(path)
        assert (item.event_number, item.streams) == (1, {})
    path.write_bytes(b"\xd9\xd9\xf7" + frames(b"\x81\x41x"))
    (item,) = messages.items(path)
    assert item.streams == {"a": messages.Stream("t", (b"x",))}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (frames(cbor2.dumps(cbor2.CBORTag(258, [1]))), "semantic tag 258: 258 is not one of"),
        (frames(cbor2.dumps(cbor2.CBORTag(35, "a*"))), "semantic tag 35"),
        (frames(cbor2.dumps(cbor2.CBORTag(4, [1, 2]))), "semantic tag 4"),
        (frames(cbor2.dumps(cbor2.CBORTag(300, 1))), "semantic tag 300"),
        (message(number=b"\xc2\x41\x01"), "semantic tag 2:"),
        (b"\xd8\x1c" + message(), "semantic tag 28:"),
        (frames(b"\xd8\x1c\x81\xd8\x1d\x00"), "semantic tag 2[89]:"),
        (frames(b"\xd9\x01\x00\x81\x41x"), "semantic tag 256:"),
        (frames(b"\x81" * 100), r"depth \(16\) exceeded"),
        (frames(b"\x9b" + b"\xff" * 8), "bytes are needed"),
        (frames(b"\x81\x5b" + b"\xff" * 8), "bytes are needed"),
        (frames(b"\x81\x5a\x3f\xff\xff\xff"), "are left"),
        (frames(b"\x9f\x41\x01\xff"), "indefinite length"),
        (frames(b"\x81\x5f\x41\x01\xff"), "indefinite length"),
        (message(time=b"\xc0\x63abc"), "datetime: Invalid isoformat"),
        (message(time=b"\xc1\xfb\x7f\xf0" + bytes(6)), "datetime: "),
        (message(streams=b"\xa1\x62\xff\xff\x01"), "text string: 'utf-8'"),
        (message(streams=b"\xa2\x61a\x01\x61a\x01"), "key"),
        (message(streams=b"\xa1\x81\x01\x01"), "not a type and frames"),
        (message(number=b"\xe0"), "is not an event number"),
        (message(number=b"\xf7"), "is not an event number"),
        (message(number=b"\x1c"), "subtype 0x1c"),
        (frames(b"\x81\xf5"), "a frame of 'a' is not bytes"),
    ],
)
def test_what_no_recording_holds_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "a.cbors"
    path.write_bytes(b"\xd9\xd9\xf7" + data)
    with pytest.raises(DamagedRecordingError, match=words) as caught:
        list(messages.items(path))
    assert "a.cbors is damaged at byte 0: " in str(caught.value)


def test_every_tag_that_cbor2_decodes_is_refused_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "a.cbors"
    for tag in (*range(2, 300), 1004, 1040, 43000, 42876):
        path.write_bytes(frames(cbor2.dumps(cbor2.CBORTag(tag, [1, 2]))))
        with pytest.raises(DamagedRecordingError, match=f": {tag} is not one of"):
            list(messages.items(path))


def test_the_damage_is_named_with_its_own_byte_too(tmp_path: Path) -> None:
    path = tmp_path / "a.cbors"
    path.write_bytes(message() + frames(b"\x81\x44abcd")[:-4])
    found, error = until_damage(path)
    assert (found, error.offset) == ([1], len(message()))
    assert f"the CBOR item is damaged at byte {path.stat().st_size}: " in str(error)


@pytest.mark.parametrize("limit", ["MOST_READS", "LONGEST"])
def test_an_item_that_goes_on_and_on_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(messages, limit, 1000)
    path = tmp_path / "a.cbors"
    path.write_bytes(frames(cbor2.dumps([b""] * 900)) * 3)
    assert len(list(messages.items(path))) == 3
    path.write_bytes(frames(cbor2.dumps([b""] * 1000)))
    with pytest.raises(DamagedRecordingError, match="it holds more than"):
        list(messages.items(path))


@pytest.mark.parametrize("head", [b"\x9a\x7f\xff\xff\xff", b"\x81\x5a\x7f\xff\xff\xff"])
def test_a_declared_length_is_not_allocated(tmp_path: Path, head: bytes) -> None:
    path = tmp_path / "a.cbors"
    path.write_bytes(frames(head) + bytes(100))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DamagedRecordingError):
        list(messages.items(path))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


@given(st.binary(max_size=60), st.integers(0, 40))
def test_no_bytes_raise_anything_else(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int
) -> None:
    path = tmp_path_factory.mktemp("noise") / "a.cbors"
    whole = frames(cbor2.dumps([b"abc", b"d" * 20]))
    for data in (b"\xd9" + noise, whole[:at] + noise, frames(noise), message(streams=noise)):
        path.write_bytes(data)
        with contextlib.suppress(DamagedRecordingError):
            list(messages.items(path))


def test_a_gzip_file_is_inflated_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = recorder.cbors(tmp_path / "a.cbors.gz", MESSAGES)

    def seek(*_: object) -> None:
        raise AssertionError("going back in a gzip file inflates it again")

    monkeypatch.setattr(bytesource.gzip.GzipFile, "seek", seek)
    assert len(list(messages.items(path))) == len(MESSAGES)


@pytest.mark.parametrize("name", ["a.cbors", "a.cbors.gz", "a.pkls", "a.pkls.gz"])
def test_all_formats_give_the_same_messages(tmp_path: Path, name: str) -> None:
    write = recorder.cbors if "cbors" in name else recorder.pkls
    path = write(tmp_path / name, MESSAGES)
    # What a file is, is told by its bytes: the wrong name does no harm.
    odd = path.rename(tmp_path / "odd.name")
    found = list(messages.items(odd))
    expected = [
        {n: messages.Stream(typ, tuple(frames)) for n, (typ, frames) in streams.items()}
        for _, streams in MESSAGES
    ]
    assert [item.streams for item in found] == expected
    assert [item.event_number for item in found] == [number for number, _ in MESSAGES]
    assert found[1].time == recorder.T0.timestamp() + 1


@pytest.mark.parametrize("kind", [recorder.as_cbor, recorder.as_pickle])
def test_a_message_is_read_again_at_its_offset(tmp_path: Path, kind: Any) -> None:
    data = [kind(message) for message in MESSAGES]
    path = tmp_path / "a"
    path.write_bytes(b"".join(data))
    offsets = [item.offset for item in messages.items(path)]
    assert offsets == [sum(map(len, data[:i])) for i in range(len(data))]
    with ByteSource(path) as source:
        source.seek(offsets[3])
        assert messages.read_item(source).event_number == 3


@pytest.mark.parametrize("kind", [recorder.as_cbor, recorder.as_pickle])
@pytest.mark.parametrize("cut", [1, 2, 20, -1])
def test_everything_before_a_cut_is_used(tmp_path: Path, kind: Any, cut: int) -> None:
    data = [kind(message) for message in MESSAGES]
    path = tmp_path / "cut"
    path.write_bytes(b"".join(data[:3]) + data[3][:cut])
    found, error = until_damage(path)
    assert found == [0, 1, 2]
    assert error.offset == sum(map(len, data[:3]))
    assert f"{path} is damaged at byte {error.offset}" in str(error)


def test_a_cut_gzip_file_is_used_as_far_as_it_goes(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    frames = [rng.integers(0, 60000, (100, 100), np.uint16) for _ in range(5)]
    path = recorder.cbors(tmp_path / "a.cbors.gz", recorder.stins("cam", frames))
    path.write_bytes(path.read_bytes()[:-30_000])
    found, error = until_damage(path)
    assert "gzip compression is damaged" in str(error)
    assert found == [0, 1, 2, 3]


def test_a_wrong_gzip_checksum_is_damage_behind_the_last_message(tmp_path: Path) -> None:
    path = recorder.cbors(tmp_path / "a.cbors.gz", MESSAGES)
    data = bytearray(path.read_bytes())
    data[-8] ^= 1
    path.write_bytes(data)
    found, error = until_damage(path)
    assert "CRC" in str(error)
    assert found == [number for number, _ in MESSAGES]


@pytest.mark.parametrize(
    "value",
    [
        5,
        cbor2.CBORTag(42877, [1, {}]),
        cbor2.CBORTag(42877, [-1, {}, recorder.T0]),
        cbor2.CBORTag(42877, [1, {}, "now"]),
        cbor2.CBORTag(42877, [1, {"a": 3}, recorder.T0]),
        cbor2.CBORTag(42877, [1, {"a": cbor2.CBORTag(42878, ["t", 4])}, recorder.T0]),
        cbor2.CBORTag(42877, [1, {"a": cbor2.CBORTag(42878, ["t", ["text"]])}, recorder.T0]),
        cbor2.CBORTag(42877, [1, {7: cbor2.CBORTag(42878, ["t", []])}, recorder.T0]),
    ],
)
def test_items_that_are_no_messages_are_named(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "a.cbors"
    path.write_bytes(b"\xd9\xd9\xf7" + cbor2.dumps(value))
    with pytest.raises(DamagedRecordingError, match="damaged at byte 0"):
        list(messages.items(path))


def test_files_that_are_no_recordings_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("hello")
    with pytest.raises(RecordingError, match="is empty"):
        messages.check(tmp_path / "empty")
    with pytest.raises(RecordingError, match="begins with byte b'h'"):
        messages.check(tmp_path / "text")
    with pytest.raises(RecordingError, match="is a folder"):
        messages.check(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no recording"):
        messages.check(tmp_path / "none")
