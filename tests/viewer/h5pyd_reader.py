"""Reads a server of results with h5pyd, as its users do.

As a script it takes commands as lines of JSON on stdin and gives one answer a line on stdout, so
that another h5pyd than the one of the tests can read too.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np


class H5pydReader:
    """What tests ask of a client; arrays come as flat lists, with shape and dtype's kind."""

    def __init__(self) -> None:
        self._file: Any = None

    def open(self, url: str) -> None:
        import h5pyd

        self.close()
        self._file = h5pyd.File(url, "r")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def keys(self, path: str) -> list[str]:
        return list(self._file[path])

    def attrs(self, path: str) -> dict[str, Any]:
        return {name: _plain(value) for name, value in self._file[path].attrs.items()}

    def read(self, path: str) -> dict[str, Any]:
        found = self._file[path]
        value = found[()]
        return {
            "shape": list(found.shape),
            "type": found.dtype.kind,
            "value": np.asarray(_plain(value), object).ravel().tolist(),
        }


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    return value.tolist() if hasattr(value, "tolist") else value


def main() -> None:
    reader = H5pydReader()
    for line in sys.stdin:
        command = json.loads(line)
        try:
            found = getattr(reader, command.pop("do"))(**command)
            answer = {"found": found}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
