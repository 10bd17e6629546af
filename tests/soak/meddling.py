"""Threads that meddle with a beamline at random moments, and never while it is being looked at."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

log = logging.getLogger(__name__)


class Gate:
    """Open while frames are taken; `close` waits for those who are inside."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._is_open = self._is_over = False
        self._n_inside = 0

    def open(self) -> None:
        """Let meddlers in."""
        with self._changed:
            self._is_open = True
            self._changed.notify_all()

    def close(self) -> None:
        """Let no more in, and wait until all are out."""
        with self._changed:
            self._is_open = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._n_inside)

    def end(self) -> None:
        """Never open again."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def sleep(self, seconds: float) -> bool:
        """Wait so long, or until the gate is being closed; whether it is open still."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_open, seconds)
            return self._is_open

    @contextmanager
    def inside(self) -> Iterator[bool]:
        """Wait until the gate is open, and be inside; False where it never will be again."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_open or self._is_over)
            is_in = not self._is_over
            self._n_inside += is_in
        try:
            yield is_in
        finally:
            with self._changed:
                self._n_inside -= is_in
                self._changed.notify_all()


@dataclass(frozen=True)
class Deed:
    """What was done, how many seconds after the begin, and how long it lasted."""

    at_s: float
    name: str
    lasted_s: float
    failure: str = ""


@dataclass
class Diary:
    """All that meddlers have done."""

    begun: float = field(default_factory=time.monotonic)
    deeds: list[Deed] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """How often each thing was done."""
        names = [deed.name for deed in self.deeds]
        return {name: names.count(name) for name in sorted(set(names))}


Action = Callable[[random.Random], None]


class Meddler(threading.Thread):
    """Does one of its actions, chosen at random, again and again while the gate is open.

    Each action is done once, in an order that the seed says, before any is done again. What an
    action raises is its failure, and stands in the diary.
    """

    def __init__(
        self, name: str, gate: Gate, diary: Diary, actions: Sequence[Action],
        pause_s: tuple[float, float], seed: int,
    ) -> None:  # fmt: skip
        super().__init__(name=name, daemon=True)
        self._gate, self._diary, self._actions = gate, diary, list(actions)
        self._pause_s = pause_s
        self._rng = random.Random(f"{name} {seed}")

    def run(self) -> None:
        """Meddle until the gate is never open again."""
        waiting: list[Action] = []
        while True:
            with self._gate.inside() as is_in:
                if not is_in:
                    return
                if self._gate.sleep(self._rng.uniform(*self._pause_s)):
                    if not waiting:
                        waiting = self._rng.sample(self._actions, len(self._actions))
                    self._do(waiting.pop())

    def _do(self, action: Action) -> None:
        begun, failure = time.monotonic(), ""
        try:
            action(self._rng)
        except Exception as error:
            log.exception("%s could not be done", action.__name__)
            failure = f"{type(error).__name__}: {error}"
        name = action.__name__.replace("_", " ")
        at, lasted = begun - self._diary.begun, time.monotonic() - begun
        self._diary.deeds.append(Deed(round(at, 1), name, round(lasted, 2), failure))


@contextmanager
def meddling(gate: Gate, meddlers: Sequence[Meddler]) -> Iterator[None]:
    """Let these meddle."""
    for meddler in meddlers:
        meddler.start()
    try:
        yield
    finally:
        with suppress(RuntimeError):
            gate.close()
        gate.end()
        for meddler in meddlers:
            meddler.join()
