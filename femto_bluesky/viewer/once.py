"""What several threads ask for at once is made once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Once:
    """Keeps the newest things that were made, by their keys; who asks while one is made waits."""

    def __init__(self, n_kept: int) -> None:
        self._n_kept = n_kept
        self._kept: OrderedDict[Hashable, Future[Any]] = OrderedDict()
        self._newest: OrderedDict[Hashable, Hashable] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T], of: Hashable = None) -> T:
        """What was made for a key, or what `make` gives; what it raises is raised, and not kept.

        Where it says what it is `of`, one that was made of the same before is kept no more.
        """
        with self._lock:
            if of is not None:
                before = self._newest.pop(of, key)
                self._newest[of] = key
                if before != key:
                    self._kept.pop(before, None)
                while len(self._newest) > self._n_kept:
                    self._newest.popitem(last=False)
            future: Future[T] | None = self._kept.get(key)
            if is_mine := future is None:
                future = self._kept[key] = Future()
                while len(self._kept) > self._n_kept:
                    self._kept.popitem(last=False)
            else:
                self._kept.move_to_end(key)
        if is_mine:
            try:
                future.set_result(make())
            except BaseException as error:
                with self._lock:
                    self._kept.pop(key, None)
                future.set_exception(error)
        return future.result()
