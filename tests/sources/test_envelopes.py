from __future__ import annotations

from pathlib import Path
from typing import Any

import cbor2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from femto_bluesky.sources import cbor, envelopes
from femto_bluesky.sources.bytesource import ByteSource
from femto_bluesky.sources.envelopes import DamagedRecordingError, RecordingError
from tests.sources import recorder

FRAMES = [np.full((3, 4), i, np.uint16) for i in range(5)]
MESSAGES = recorder.stins("cam", FRAMES)

CBOR_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(0, 9), inner),
    max_leaves=20,
)


def load(tmp_path: Path, data: bytes) -> Any:
    path = tmp_path / "one.cbors"
    path.write_bytes(data)
    with ByteSource(path) as source:
        return cbor.load(source, where="here")


def until_damage(path: Path) -> tuple[list[int], DamagedRecordingError]:
    found = []
    try:
        for item in envelopes.items(path):
            found.append(item.event_number)
    except DamagedRecordingError as error:
        return found, error
    raise AssertionError(f"{path} is not damaged")


@given(CBOR_VALUES)
def test_the_decoder_agrees_with_cbor2(
    tmp_path_factory: pytest.TempPathFactory, value: Any
) -> None:
    data = cbor2.dumps(value)
    try:
        found = load(tmp_path_factory.mktemp("cbor"), data)
    except cbor.CborError as error:
        assert "nested" in str(error)  # noqa: PT017
    else:
        assert found == cbor2.loads(data) == value


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (cbor2.dumps(cbor2.CBORTag(258, [1])), "the tag 258"),
        (cbor2.dumps(cbor2.CBORTag(35, "a*")), "the tag 35"),
        (b"\x81" * 100 + b"\x01", "nested deeper than 16"),
        (b"\x9b" + b"\xff" * 8, "members are declared"),
        (b"\x5b" + b"\xff" * 8, "bytes is declared"),
        (b"\x5a\x3f\xff\xff\xff", "are left"),
        (b"\x9f\x01\xff", "length code 31"),
        (b"\xc0\x63abc", "is not a time"),
        (b"\x62\xff\xff", "not UTF-8"),
        (b"\xa1\x81\x01\x01", "nested"),
        (b"\xa1\xf6\x01", "as the key of a map"),
        (b"\xe0", "simple value 0"),
    ],
)
def test_what_no_recording_holds_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(cbor.CborError, match=words) as caught:
        load(tmp_path, data)
    assert "here: the CBOR item is damaged at byte" in str(caught.value)


@pytest.mark.parametrize("name", ["a.cbors", "a.cbors.gz", "a.pkls", "a.pkls.gz"])
def test_all_formats_give_the_same_messages(tmp_path: Path, name: str) -> None:
    write = recorder.cbors if "cbors" in name else recorder.pkls
    path = write(tmp_path / name, MESSAGES)
    # What a file is, is told by its bytes: the wrong name does no harm.
    odd = path.rename(tmp_path / "odd.name")
    found = list(envelopes.items(odd))
    expected = [
        {n: envelopes.Stream(typ, tuple(frames)) for n, (typ, frames) in streams.items()}
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
    offsets = [item.offset for item in envelopes.items(path)]
    assert offsets == [sum(map(len, data[:i])) for i in range(len(data))]
    with ByteSource(path) as source:
        source.seek(offsets[3])
        assert envelopes.read_item(source).event_number == 3


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
        list(envelopes.items(path))


def test_files_that_are_no_recordings_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("hello")
    with pytest.raises(RecordingError, match="is empty"):
        envelopes.check(tmp_path / "empty")
    with pytest.raises(RecordingError, match="begins with byte b'h'"):
        envelopes.check(tmp_path / "text")
    with pytest.raises(RecordingError, match="is a folder"):
        envelopes.check(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no recording"):
        envelopes.check(tmp_path / "none")
