"""Work that takes seconds and must not be broken off: Ctrl-C ends only the waiting for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Unbroken(Generic[T]):
    """A call that is made once, in a thread of its own, when its result is first asked for.

    Ctrl-C is raised in the main thread alone. A package whose import it breaks off there stays
    half imported, and all that needs it fails until the process is started again.
    """

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._once = threading.Lock()
        self._done: Future[T] = Future()

    @property
    def has_begun(self) -> bool:
        """Whether the call was made."""
        return self._once.locked()

    @property
    def has_failed(self) -> bool:
        """Whether it is over and has raised."""
        return self._done.done() and self._done.exception() is not None

    def result(self, timeout_s: float | None = None) -> T:
        """What the call returns or raises. Raises `TimeoutError` where that takes longer."""
        if not self.has_begun:
            try:
                threading.Thread(target=self._work, name="unbroken", daemon=True).start()
            except RuntimeError:  # the process is ending and starts no threads any more
                self._work()
        return self._done.result(timeout_s)

    def _work(self) -> None:
        if not self._once.acquire(blocking=False):
            return
        try:
            self._done.set_result(self._call())
        except BaseException as failure:
            self._done.set_exception(failure)
