"""How an analysis does, for whoever asks at the prompt."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Status:
    """What has been analysed and what waits; `print(live.status())` says it in words.

    `n_shots` were analysed, frames taken again too. `n_waiting` events and documents have come and
    wait, the oldest of them for `behind_s` seconds. `at_work_s` is for how long the analysis has
    been busy with one of them: long where it hangs; None when there is nothing to do. `open_runs`
    have begun and not stopped, `problems` says what cannot be written now and waits for room, and
    `failures` why runs could not be analysed.
    """

    n_shots: int
    n_waiting: int
    behind_s: float
    at_work_s: float | None
    open_runs: tuple[str, ...]
    problems: tuple[str, ...]
    failures: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{self.n_shots} shots analysed"]
        if self.n_waiting:
            lines[0] += f", {self.n_waiting} events and documents wait"
        if self.n_waiting and self.at_work_s is not None:
            oldest = max(self.behind_s, self.at_work_s)
            lines[0] += f" ({oldest:.1f} s behind; {self.at_work_s:.1f} s with this one)"
        lines += [f"open: run {uid}" for uid in self.open_runs]
        lines += [f"waits: {problem}" for problem in self.problems]
        lines += [f"failed: {failure}" for failure in self.failures]
        return "\n".join(lines)
