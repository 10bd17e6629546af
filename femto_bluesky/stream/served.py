"""Frames that a Tiled server reads for us, where the file itself is out of reach."""

from __future__ import annotations

import math
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.sources.moved import ServedUrl
from femto_bluesky.stream.datasets import FrameError

BLOCK_BYTES = 64 * 2**20
"""How much is asked for at a time; a server refuses to give more than 300 MB."""


class ServedFrames:
    """An array of a Tiled server: bursts of frames (bursts, frames, rows, columns), or frames.

    Frame `index` is counted through all bursts, as the frames stand in the file. Whole bursts are
    asked for, as many as make `BLOCK_BYTES`, or parts of one that is larger, and kept until a frame
    outside is read. The key of the server is taken from the environment variable TILED_API_KEY. So
    only a `ServedUrl` is taken, which the catalog that is replayed has named: any other document
    could have the key sent anywhere. Else `FrameError` is raised.

    The server makes the array's shape from what documents declared. Where a file holds another
    number of frames, because a burst was short or was taken again, it cannot tell which are which
    and gives none; then `FrameError` is raised, as for whatever else fails.
    """

    def __init__(self, uri: str) -> None:
        if not isinstance(uri, ServedUrl):
            raise FrameError(
                f"a document names {uri!r:.200} for its frames; only the server of a catalog that "
                "is replayed is asked for frames"
            )
        self.uri = uri
        self._node: Any = None
        self._first = 0
        self._block: NDArray[Any] = np.empty((0, 0, 0))

    def __reduce__(self) -> tuple[Any, ...]:
        """What is sent to another process: the address, and no connection."""
        return type(self), (self.uri,)

    def __len__(self) -> int:
        return math.prod(self._shape()[:-2])

    @property
    def file(self) -> tuple[Path, str] | None:
        """There is none here."""
        return None

    def read(self, index: int) -> NDArray[Any]:
        """Frame `index`, in native byte order."""
        if not 0 <= index < len(self):
            raise FrameError(
                f"{self.uri}: the server has {len(self)} frames, the documents name frame {index}; "
                "upload the run again, or copy the file and name its folder with path_map"
            )
        if not self._first <= index < self._first + len(self._block):
            self._fetch(index)
        frame: NDArray[Any] = self._block[index - self._first]
        return frame

    def close(self) -> None:
        """End the connection; the next read makes a new one."""
        node, self._node, self._block = self._node, None, np.empty((0, 0, 0))
        if node is not None:
            node.context.close()

    def _shape(self) -> tuple[int, ...]:
        if self._node is None:
            self._node = self._connected()
        shape: tuple[int, ...] = tuple(self._node.shape)
        if len(shape) not in (3, 4) or self._node.dtype.kind not in "buif":
            raise FrameError(
                f"{self.uri}: found an array of shape {shape} and dtype {self._node.dtype}, "
                "expected frames of real numbers; copy the file and name its folder with path_map"
            )
        return shape

    def _connected(self) -> Any:
        try:
            from tiled.client import Context, from_context
        except ImportError as error:
            raise FrameError(
                f"{self.uri}: Tiled is missing ({error}); install femto-bluesky[catalog]"
            ) from error
        context = None
        try:
            # packing frames takes the server longer than a local network takes to carry them
            context, parts = Context.from_any_uri(self.uri, headers={"accept-encoding": "identity"})
            return from_context(context, node_path_parts=parts)
        except Exception as error:
            if context is not None:
                context.close()
            raise FrameError(
                f"{self.uri}: no frames from this server ({type(error).__name__}: {error}). Check "
                "that it runs and that TILED_API_KEY holds its key, or copy the file and name its "
                "folder with path_map"
            ) from error

    def _fetch(self, index: int) -> None:
        """Fill the block with frame `index` and those around it."""
        shape = self._shape()
        n = max(1, BLOCK_BYTES // max(1, math.prod(shape[-2:]) * self._node.dtype.itemsize))
        if len(shape) == 3:
            n = min(n, shape[0] - index)
            first, asked = index, f"{index}:{index + n}"
        else:
            burst, frame = divmod(index, shape[1])
            if n < shape[1]:
                n = min(n, shape[1] - frame)
                first, asked = index, f"{burst},{frame}:{frame + n}"
            else:
                bursts = min(n // shape[1], shape[0] - burst)
                first, asked = burst * shape[1], f"{burst}:{burst + bursts}"
                n = bursts * shape[1]
        content = self._asked(asked, index)
        found = np.frombuffer(content, self._node.dtype)
        if found.size != n * math.prod(shape[-2:]):
            raise FrameError(
                f"{self.uri}: found {len(content)} bytes for {n} frames of {shape[-2:]}, expected "
                f"{n * math.prod(shape[-2:]) * found.itemsize}; copy the file and name its folder "
                "with path_map"
            )
        native = found.dtype.newbyteorder("=")
        dtype = np.dtype(np.float32) if native == np.float16 else native
        # the kernels have been compiled for arrays that may be written
        block = np.require(found.reshape(-1, *shape[-2:]), dtype, ["C", "W"])
        self._block, self._first = block, first

    def _asked(self, part: str, index: int) -> bytes:
        """The bytes of a part of the array, in one request.

        The client's own `read` asks again for most of a minute whatever the server's error is.
        """
        try:
            response = self._node.context.http_client.get(
                self._node.item["links"]["full"],
                params={"slice": part},
                headers={"Accept": "application/octet-stream"},
            )
            status, content = response.status_code, bytes(response.read())
        except Exception as error:
            raise FrameError(
                f"{self.uri}: the server does not give frame {index} ({type(error).__name__}: "
                f"{error}). Check that it runs, and replay the run again"
            ) from error
        if status == HTTPStatus.OK:
            return content
        if status == HTTPStatus.UNPROCESSABLE_ENTITY:
            why = (
                "Its array cannot be right: the file holds another number of frames than the "
                "documents declare, because a burst was short or was taken again. The file itself "
                "can be read: copy it and name its folder with path_map"
            )
        else:
            why = (
                "Its log says why: the file must be there on the server, and lie under its "
                "readable_storage. Else copy the file and name its folder with path_map"
            )
        raise FrameError(
            f"{self.uri}: the server does not give frame {index} ({status}: "
            f"{content[:200].decode(errors='replace')}). {why}"
        )
