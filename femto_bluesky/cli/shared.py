"""What all commands share: one line for each thing that went wrong, and where results go."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from femto_bluesky.files.names import new_path


class _Rate(ProgressColumn):
    """How many are done in a second."""

    def render(self, task: Task) -> Text:
        """The rate, once it is known."""
        return Text(f"{task.speed:.1f}/s" if task.speed else "")


def progress_bar() -> Progress:
    """A bar that says how many are done, at what rate, and how long the rest takes."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(),
        TimeRemainingColumn(), console=Console(stderr=True), transient=True,
    )  # fmt: skip


@contextmanager
def told() -> Iterator[None]:
    """Errors in here are the user's to mend: one line, and exit code 1."""
    try:
        yield
    except (OSError, ValueError, TypeError, RuntimeError, ModuleNotFoundError) as error:
        quit_with([error])


def finish(
    written: Iterable[Path], stops: Sequence[Mapping[str, Any]], problems: Iterable[Exception]
) -> None:
    """Name the files; where something went wrong, say what and exit with 1."""
    console = Console(soft_wrap=True)
    for path in written:
        console.print(f"wrote {path}", highlight=False)
    wrong: list[BaseException] = list(problems)
    for stop in stops:
        if stop.get("exit_status") == "fail":
            wrong.append(
                RuntimeError(
                    f"run {stop['run_start'][:8]} did not end well when it was taken, and goes as "
                    f"far as it was written: {stop.get('reason')}"
                )
            )
    if wrong:
        quit_with(wrong)


def quit_with(problems: Iterable[BaseException]) -> NoReturn:
    """Say each problem in one line of its own and leave with exit code 1."""
    console = Console(stderr=True, soft_wrap=True)
    for problem in problems:
        text = in_words(problem)
        console.print(f"femto-bluesky: {text}", style="red", highlight=False, markup=False)
    raise typer.Exit(1)


def in_words(problem: BaseException) -> str:
    """What went wrong and what to do, in words."""
    if isinstance(problem, ValidationError):
        told = []
        for error in problem.errors():
            place = ".".join(map(str, error["loc"]))
            told.append(f"{place}: " * bool(place) + error["msg"].removeprefix("Value error, "))
        return "; ".join(told)
    if isinstance(problem, OSError) and problem.filename and problem.strerror:
        remedy = {
            FileExistsError: "a file is in the way; name a directory, or another one",
            PermissionError: "choose a place that you may read and write, or change its rights",
            NotADirectoryError: "a file is in the way; name a directory, or another one",
        }.get(type(problem), "check the path")
        return f"{problem.filename}: {problem.strerror}; {remedy}"
    return str(problem)


def made(out: Path | None) -> Path | None:
    """The directory, made where it is missing, and known to take files."""
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        probe = new_path(out, ".writable", "tmp", reserve=True)
        probe.unlink()
    return out
