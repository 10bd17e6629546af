"""Frames of an array on a server: asked for in blocks, counted as they stand in the file."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from femto_bluesky.sources.moved import SERVED, ServedUrl
from femto_bluesky.stream import served
from femto_bluesky.stream.frames import FrameError, open_resource
from femto_bluesky.stream.served import ServedFrames


class Server:
    """Answers as Tiled does to a request for a part of an array."""

    def __init__(self, array):
        self.array, self.asked, self.status = array, [], 200
        http_client = SimpleNamespace(get=self.get)
        context = SimpleNamespace(http_client=http_client, close=lambda: None)
        self.node = SimpleNamespace(
            shape=array.shape, dtype=array.dtype, context=context, item={"links": {"full": "/f"}}
        )

    def get(self, link, params, headers):
        self.asked.append(params["slice"])
        parts = [part.split(":") for part in params["slice"].split(",")]
        at = tuple(slice(*map(int, p)) if len(p) == 2 else int(p[0]) for p in parts)
        content = self.array[at].tobytes() if self.status == 200 else b"words of the server"
        return SimpleNamespace(status_code=self.status, read=lambda: content)

    def frames(self):
        source = ServedFrames(ServedUrl("http://server/api/v1/metadata/run/primary/image"))
        source._connected = lambda: self.node
        return source


@given(
    bursts=st.integers(1, 4), n=st.integers(1, 5), is_flat=st.booleans(), block=st.integers(0, 25),
    order=st.lists(st.integers(0, 99), max_size=12),
    dtype=st.sampled_from(["<u2", ">u2", "<f4", "<f2", "|u1"]),
)  # fmt: skip
def test_each_frame_is_that_of_the_array(bursts, n, is_flat, block, order, dtype):
    flat = np.arange(bursts * n * 6).reshape(-1, 2, 3).astype(dtype)
    server = Server(flat if is_flat else flat.reshape(bursts, n, 2, 3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(served, "BLOCK_BYTES", block * 6 * flat.itemsize)
        source = server.frames()
        assert len(source) == len(flat)
        for index in (*range(len(flat)), *(number % len(flat) for number in order)):
            frame = source.read(index)
            np.testing.assert_array_equal(frame, flat[index])
            assert frame.flags.c_contiguous
            assert frame.flags.writeable
            assert frame.dtype.isnative
            assert frame.dtype != np.float16


def test_one_request_brings_a_burst(monkeypatch):
    server = Server(np.zeros((4, 5, 2, 3), "u2"))
    monkeypatch.setattr(served, "BLOCK_BYTES", 5 * 12)
    source = server.frames()
    for index in range(20):
        source.read(index)
    assert server.asked == ["0:1", "1:2", "2:3", "3:4"]
    source.close()
    assert source.file is None


def test_what_the_server_does_not_give_is_said():
    source = Server(np.zeros((4, 5, 2, 3), "u2")).frames()
    with pytest.raises(FrameError, match="the server has 20 frames, the documents name frame 20"):
        source.read(20)
    with pytest.raises(FrameError, match=r"shape \(4,\) and dtype float64, expected frames"):
        len(Server(np.zeros(4)).frames())
    server = Server(np.zeros((4, 5, 2, 3), "u2"))
    server.status = 422
    with pytest.raises(FrameError, match=r"\(422: words of the server\). Its array cannot be righ"):
        server.frames().read(0)
    server.status = 500
    with pytest.raises(FrameError, match=r"\(500: words.*lie under its readable_storage"):
        server.frames().read(0)
    server = Server(np.zeros((4, 5, 2, 3), "u2"))
    server.node.shape = (4, 6, 2, 3)
    with pytest.raises(FrameError, match="found 240 bytes for 24 frames"):
        server.frames().read(0)


def test_a_document_names_the_array():
    document = {"uri": ServedUrl("http://server/x"), "mimetype": SERVED, "parameters": {}}
    assert isinstance(open_resource(document), ServedFrames)


def test_a_document_from_elsewhere_sends_the_key_nowhere():
    """Pickles, JSON and msgpack bring plain text only."""
    document = {"uri": "http://evil/x", "mimetype": SERVED, "parameters": {}}
    with pytest.raises(FrameError, match=r"names 'http://evil/x' for its frames; only the server"):
        open_resource(document)
