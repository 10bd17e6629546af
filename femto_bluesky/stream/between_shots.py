"""The moment in which an analysis, or a part of one, may be changed from another thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from femto_bluesky.stream.analysis import CONFIGURE_S, Analysis


@contextmanager
def between_shots(part: Analysis) -> Iterator[None]:
    """Wait for the shots that have come, though not for ever, and let none in meanwhile.

    A part is given its shots under the lock of the whole. Who changes it at a prompt need not know
    of that, and shots may be coming.
    """
    part.wait(CONFIGURE_S)
    whole = part
    while whole._owner is not None:
        whole = whole._owner
    with whole.shell.lock:
        yield
