"""Real clients to read a server of results with: h5pyd of both majors, and h5web."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
OLD_H5PYD = "h5pyd==0.24.0"
H5WEB = ["@h5web/app@17", "axios@1", "react@18", "react-dom@18"]


class ReadError(Exception):
    """What a client in another process has raised."""


class Reader:
    """A client in a process of its own that understands the commands of `h5pyd_reader`."""

    def __init__(self, command: list[str], folder: Path, **environment: str) -> None:
        self._process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **environment}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def _ask(self, do: str, **arguments: str) -> Any:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
        if "error" in answer:
            raise ReadError(answer["error"])
        return answer["found"]

    def open(self, url: str) -> None:
        self._ask("open", url=url)

    def keys(self, path: str) -> list[str]:
        return self._ask("keys", path=path)

    def attrs(self, path: str) -> dict[str, Any]:
        return self._ask("attrs", path=path)

    def read(self, path: str) -> dict[str, Any]:
        return self._ask("read", path=path)

    def close(self) -> None:
        self._process.communicate(timeout=30)


def old_h5pyd(folder: Path) -> Reader:
    """The last h5pyd of the kind that silx and others have used for years, from the registry."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", "."]
    subprocess.run([*command, OLD_H5PYD], cwd=folder, check=True)
    return Reader([sys.executable, str(HERE / "h5pyd_reader.py")], folder, PYTHONPATH=str(folder))


def h5web(folder: Path) -> Reader:
    """h5web's provider in node, from the registry."""
    if shutil.which("npm") is None:
        pytest.skip("h5web is read with node: install nodejs and npm")
    (folder / "package.json").write_text("{}")
    install = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"]
    subprocess.run([*install, *H5WEB], cwd=folder, check=True)
    return Reader(["node", str(HERE / "h5web_reader.mjs")], folder)
