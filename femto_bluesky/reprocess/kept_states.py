"""Partials in files, read as data: of the classes that an analysis is made of, and no others.

A pickle is a program (decision 7). What stands in one here may name classes of this package, of
numpy, and of the packages that the analysis is of; a function is called only if numpy makes arrays
with it.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import sys
from pathlib import Path
from typing import Any, Final

from femto_bluesky.reprocess.folding import Partial
from femto_bluesky.stream.analysis import Analysis

OWN: Final = "femto_bluesky"

PLAIN: Final = {
    ("builtins", "bytearray"), ("builtins", "complex"), ("builtins", "frozenset"),
    ("builtins", "object"), ("builtins", "range"), ("builtins", "set"), ("builtins", "slice"),
    ("collections", "Counter"), ("collections", "OrderedDict"), ("collections", "defaultdict"),
    ("collections", "deque"), ("datetime", "date"), ("datetime", "datetime"),
    ("datetime", "timedelta"), ("datetime", "timezone"), ("pathlib", "PosixPath"),
    ("pathlib", "PurePosixPath"), ("pathlib", "Path"), ("uuid", "UUID"),
    ("numpy", "dtype"), ("numpy", "ndarray"), ("copyreg", "_reconstructor"),
    ("numpy._core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"), ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"), ("numpy.core.numeric", "_frombuffer"),
}  # fmt: skip
"""What any analysis may be made of, beside classes of its own."""


class StateError(ValueError):
    """A file that holds no partial that can be used."""


def read_state(path: Path, digest: str, pattern: Analysis) -> Partial:
    """The partial in a file, whose SHA-256 is known; its analysis is of the kind of `pattern`.

    Raises `StateError` where the file is another one, or names anything but data, and `OSError`.
    """
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_uid != os.geteuid():
            raise StateError(f"{path} belongs to somebody else, expected a file of our own")
        content = file.read()
    if hashlib.sha256(content).hexdigest() != digest:
        raise StateError(f"{path} has changed since it was written, expected it as it was")
    try:
        found = _Reader(content, _packages(pattern)).load()
    except StateError as error:
        raise StateError(f"{path}: {error}") from error
    except Exception as error:  # whatever a pickle may raise
        raise StateError(f"{path} cannot be read ({type(error).__name__}: {error})") from error
    if not isinstance(found, Partial) or type(found.analysis) is not type(pattern):
        raise StateError(f"{path} holds another kind of thing than a part of this work")
    return found


class _Reader(pickle.Unpickler):
    """Reads instances of known classes."""

    def __init__(self, content: bytes, packages: set[str]) -> None:
        super().__init__(io.BytesIO(content))
        self._packages = packages

    def find_class(self, module: str, name: str) -> Any:
        """A class that is known. Raises `StateError` for anything else."""
        if (module, name) in PLAIN:
            return super().find_class(module, name)
        if module.split(".")[0] in self._packages:
            found = super().find_class(module, name)
            # no function, and nothing that a module has from elsewhere
            if isinstance(found, type) and found.__module__ == module:
                return found
        raise StateError(f"it names {module}.{name}, expected data only; begin anew (--restart)")


def _packages(pattern: Analysis) -> set[str]:
    """What the classes of an analysis are of, and ours."""
    found = {kind.__module__.split(".")[0] for kind in type(pattern).__mro__}
    return (found - sys.stdlib_module_names - {"numpy"}) | {OWN} | (found & {"__main__"})
