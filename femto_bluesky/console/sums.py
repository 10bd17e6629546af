"""Accumulation at the prompt: start, stop, reset, undo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from femto_bluesky.callbacks import Accumulation, Checkpoints, LiveAnalysis
from femto_bluesky.console.devices import called
from femto_bluesky.console.errors import ConsoleError, told


@dataclass(frozen=True, slots=True)
class SumList:
    """What is accumulated now; at the prompt, a line for each detector."""

    lines: Mapping[str, str]
    is_adding: bool

    def __repr__(self) -> str:
        if not self.lines:
            state = "will be added" if self.is_adding else "will not be added"
            return (
                f"no frames since this start; those to come {state}. "
                "replay(catalog[-1], live) adds those of an earlier run again"
            )
        wide = max(map(len, self.lines))
        return "\n".join(f"{name:{wide}}  {line}" for name, line in self.lines.items())


class Sums:
    """The accumulations of a `LiveAnalysis`: of all detectors, or of the one that is given.

    They are in memory, and kept on disk where there is a `keeper`: the next start of the prompt can
    bring them back.
    """

    def __init__(self, live: LiveAnalysis, keeper: Checkpoints | None = None) -> None:
        self.keeper = keeper
        self._live = live

    def close(self) -> None:
        """Have the newest frames kept too, when the prompt is left."""
        if self.keeper is not None:
            self.keeper.close()

    def start_accumulation(self, detector: Any = None) -> SumList:
        """Add frames from now on; the sum goes on from where it is."""
        return self._set(detector, is_adding=True)

    def stop_accumulation(self, detector: Any = None) -> SumList:
        """Add no frames from now on: the newest one is shown, and the sum is kept."""
        return self._set(detector, is_adding=False)

    def reset_accumulation(self, detector: Any = None) -> SumList:
        """Begin the sum anew; undo_reset() brings the old one back."""
        with self._live.shell.lock:  # between two shots
            for accumulation in self._of(detector).values():
                accumulation.reset()
        return self.list_sums()

    def undo_reset(self, detector: Any = None) -> SumList:
        """Bring back the sum before the last reset; what was added since then is added to it."""
        n_undone, reasons = 0, []
        with self._live.shell.lock:
            for name, accumulation in self._of(detector).items():
                try:
                    accumulation.undo_reset()
                    n_undone += 1
                except ValueError as error:
                    reasons.append(f"{name}: {error}")
        if not n_undone:
            raise ConsoleError("; ".join(reasons) or "nothing was accumulated, and nothing reset")
        return self.list_sums()

    def list_sums(self) -> SumList:
        """What is accumulated now."""
        now = self._live.accumulations
        with self._live.shell.lock:  # the sums are copied, whole
            lines = {name: _line(of) for name, of in sorted(now.of.items())}
        return SumList(lines, now.pattern.settings.accumulating)

    def _set(self, detector: Any, *, is_adding: bool) -> SumList:
        if detector is None:
            with told():
                self._live.configure({"accumulate": is_adding})
        else:
            with self._live.shell.lock:
                for accumulation in self._of(detector).values():
                    accumulation.configure({"accumulating": is_adding})
        return self.list_sums()

    def _of(self, detector: Any) -> dict[str, Accumulation]:
        """The accumulations by detector: all, or the one that is named."""
        of = self._live.accumulations.of
        detector = called(detector)
        if detector is None:
            return dict(of)
        if detector not in of:
            raise ConsoleError(
                f"no frames of {detector!r} so far; frames came from: {', '.join(of) or 'none'}"
            )
        return {detector: of[detector]}


def _line(accumulation: Accumulation) -> str:
    state = "adding" if accumulation.settings.accumulating else "stopped"
    found = accumulation.result()
    if found is None:
        return f"no frames, {state}"
    if not found.is_sum:
        return f"the newest frame, {state}, total {found.total:.6g}, hottest {found.hottest:.6g}"
    n_runs = len(found.n_frames_of_run)
    return (
        f"{found.n_frames} frames of {n_runs} run{'s' * (n_runs != 1)}, {state}, "
        f"total {found.total:.6g}, hottest {found.hottest:.6g}"
    )
