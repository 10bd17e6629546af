"""What the prompt itself is told: to end well what is begun when it is left, and to be brief."""

from __future__ import annotations

import atexit
import gc
import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from bluesky import RunEngine
from bluesky.utils import FailedStatus, RunEngineInterrupted

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.devices.hdf5_plugin import DetectorError
from femto_bluesky.plans.bursts import PlanError
from femto_bluesky.sources.catalogs import Run
from femto_bluesky.stream.analysis import Analysis

log = logging.getLogger(__name__)

PATIENCE_S: Final = 2.0
"""So long a line waits for the analysis before it says that it is behind."""


def close_before_exit(shell: Any, close: Callable[[], object]) -> None:
    """Have `close` called when the prompt is left, before Python shuts down.

    A plan that is paused in `RE` is stopped first, so that its run ends and the cameras too.

    An `atexit` handler would come too late: Tiled's own is called when threads are joined, and the
    run that is being stored then would stay behind as JSON lines.
    """
    leave = shell.ask_exit

    def close_and_leave() -> None:
        try:
            _stop_paused(getattr(shell, "user_ns", {}).get("RE"))
            close()
        finally:
            leave()

    shell.ask_exit = close_and_leave
    # or Python looks for cycles in all that Tiled and numba have made, which takes seconds
    atexit.register(gc.freeze)


def _stop_paused(engine: Any) -> None:
    if not isinstance(engine, RunEngine) or engine.state != "paused":
        return
    log.warning("A scan is paused; it is stopped now, as RE.stop() does, and kept as far as it is.")
    try:
        engine.stop()
    except Exception as failure:  # nobody can be kept here by a motor that fails
        log.error("It did not stop well: %s: %s", type(failure).__name__, failure)


def wait_for_analyses(shell: Any, *analyses: Analysis) -> None:
    """Have each line wait a moment for the analyses, so that tables stand before the next prompt.

    A scan that has ended may be analysed still. Where that takes longer, it is said, and goes on
    while one types. When the prompt is left it is waited for to the end; Ctrl-C leaves it.
    """

    def after_a_line(result: object) -> None:
        for analysis in analyses:
            if not analysis.wait(PATIENCE_S):
                log.warning(
                    "The analysis is behind; live.wait() waits for it: %s", analysis.status()
                )

    shell.events.register("post_run_cell", after_a_line)
    close_before_exit(shell, lambda: _finish(analyses))


def _finish(analyses: Sequence[Analysis]) -> None:
    for analysis in analyses:
        if not analysis.wait(PATIENCE_S):
            log.warning("The last scan is analysed first; Ctrl-C leaves it: %s", analysis.status())
            try:
                analysis.wait()
            except KeyboardInterrupt:
                log.warning("It was left: %s", analysis.status())


def show_briefly(shell: Any) -> None:
    """Have runs, the analysis and the engine shown in a line, not as all that they hold."""
    formatter = shell.display_formatter.formatters["text/plain"]
    for kind, words in ((Run, describe_run), (LiveAnalysis, describe_live), (RunEngine, _engine)):
        formatter.for_type(kind, _printing(words))
    # by its name: what serves a page is imported when somebody wants one
    formatter.for_type_by_name("femto_bluesky.viewer.server", "ResultsServer", _printing(_page))


def tell_briefly(shell: Any, log_file: Path) -> None:
    """Have a plan that fails, or is paused, told in its own words, without a page of traceback.

    Other exceptions are shown as ever. The tracebacks of plans are in the log.
    """

    def tell(
        shell: Any, kind: type[Exception], error: Exception, traceback: Any, tb_offset: Any = None
    ) -> None:
        shell._showtraceback(kind, error, _lines(error, log_file))

    shell.set_custom_exc((PlanError, DetectorError, FailedStatus, RunEngineInterrupted), tell)


def _lines(error: Exception, log_file: Path) -> list[str]:
    if isinstance(error, RunEngineInterrupted):
        return str(error).splitlines()
    # a status that failed says only that; why is in its cause
    cause = error.__cause__ if isinstance(error, FailedStatus) else None
    told = error if cause is None else cause
    return [f"{type(told).__name__}: {told}", f"(the traceback is in {log_file})"]


def describe_run(run: Run) -> str:
    """A run in one line: number, plan, when, how it ended, uid."""
    start, stop = run.start, run.stop or {}
    when = datetime.fromtimestamp(start["time"]).astimezone()
    n_events = (stop.get("num_events") or {}).get("primary", 0)
    what = "derived of scan" if run.is_derived else "scan"
    return (
        f"<{what} {start.get('scan_id', '?')}: {start.get('plan_name', 'no plan')}, "
        f"{when:%Y-%m-%d %H:%M:%S}, {stop.get('exit_status', 'not stopped')}, "
        f"{n_events} events, uid {run.uid[:8]}>"
    )


def describe_live(live: LiveAnalysis) -> str:
    """The analysis in one line: its regions, what it adds up, what went wrong."""
    rois = ", ".join(map(repr, live.rois.settings.rois)) or "none"
    seen = ", ".join(sorted(live.accumulations.of)) or "none so far"
    failed = f"; {len(live.failures)} runs failed, live.failures[-1] says why" * bool(live.failures)
    return f"<LiveAnalysis: ROIs {rois}; frames from {seen}{failed}>"


def _engine(engine: RunEngine) -> str:
    return f"<RunEngine: {engine.state}, last scan {engine.md.get('scan_id', 'none')}>"


def _page(server: Any) -> str:
    from femto_bluesky.viewer.login import described

    return described(server.address, server.access)


def _printing(words: Callable[[Any], str]) -> Callable[[Any, Any, bool], None]:
    def show(thing: Any, printer: Any, cycle: bool) -> None:
        printer.text(words(thing))

    return show
