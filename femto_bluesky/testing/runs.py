"""Run plans in a real RunEngine, also those that are paused, rewound, stopped or interleaved."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from bluesky import Msg, RunEngine
from bluesky import plan_stubs as bps
from bluesky import plans as bp
from bluesky import preprocessors as bpp
from bluesky.utils import DuringTask, MsgGenerator, RunEngineInterrupted

from femto_bluesky.sources.documents import Document
from femto_bluesky.testing.documents import Recorder

OnPause = Literal["resume", "stop", "abort", "halt"]


@contextmanager
def run_engine(md: Mapping[str, Any] | None = None) -> Iterator[RunEngine]:
    """A RunEngine with an event loop and a thread of its own, both gone at the end.

    It needs no display, installs no signal handler and keeps no history: scan_id begins at 1.
    """
    loop = asyncio.new_event_loop()
    # DuringTask only waits; the default one would drive a Qt window if there were one.
    engine = RunEngine(dict(md or {}), loop=loop, context_managers=[], during_task=DuringTask())

    async def this_thread() -> threading.Thread:
        return threading.current_thread()

    thread = asyncio.run_coroutine_threadsafe(this_thread(), loop).result()
    try:
        yield engine
    finally:
        if engine.state == "paused":
            engine.halt()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


def run_plan(
    plan: MsgGenerator[Any],
    *callbacks: Callable[[str, dict[str, Any]], None],
    on_pause: OnPause = "resume",
    md: Mapping[str, Any] | None = None,
) -> list[Document]:
    """Run a plan to its end and return its documents.

    Each pause of the plan is answered as `on_pause` says, as a user would at the prompt: RE.resume
    (which rewinds to the last checkpoint), RE.stop, RE.abort or RE.halt. The callbacks receive the
    documents live, after they have been recorded; those that analyse in a thread are waited for.
    What the plan or a callback raises is raised.
    """
    recorder = Recorder()
    with run_engine(md) as engine:
        for callback in (recorder, *callbacks):
            engine.subscribe(callback)
        answer: Callable[[], Any] = getattr(engine, on_pause)
        try:
            engine(plan)
        except RunEngineInterrupted:
            while engine.state == "paused":
                try:
                    answer()
                except RunEngineInterrupted:
                    continue
        for callback in callbacks:
            getattr(callback, "wait", lambda: None)()
    return recorder.documents


def burst_scan(
    detectors: Sequence[Any],
    motor: Any,
    positions: Sequence[float],
    *,
    n_frames: Sequence[int] | None = None,
    reconfigure: bool = False,
    pause_before_read: Collection[int] = (),
    pause_after_save: Collection[int] = (),
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[Any]:
    """A step scan of bursts (`bluesky.plans.list_scan`) that pauses where it is told to.

    `n_frames` changes the detectors' `num_images` before each step: unseen by the documents, or,
    with `reconfigure`, in the way that makes a new descriptor. Its configuration is new then; its
    data keys, and so the shape, repeat those of the first: the RunEngine describes once.

    Pauses are hard and count steps from 0. After a pause that follows the event ("after save") a
    resumed scan takes the step again: the same seq_num comes twice, and two bursts lie in the
    file. With a pause before the event is read, one burst is lost; its datum or stream_datum comes
    all the same, with the seq_num of the repeated one.
    """
    numbers = itertools.count()
    lengths: Sequence[int] = n_frames or ()

    def per_step(
        detectors: Sequence[Any], step: Mapping[Any, float], pos_cache: dict[Any, float]
    ) -> MsgGenerator[None]:
        number = next(numbers)
        yield from bps.move_per_step(step, pos_cache)  # begins with a checkpoint
        for detector in detectors if lengths else ():
            if reconfigure:
                yield from bps.configure(detector, {"num_images": lengths[number]})
            else:
                yield from bps.abs_set(detector.num_images, lengths[number], wait=True)
        group = f"trigger-{number}"
        for detector in detectors:
            yield from bps.trigger(detector, group=group)
        yield from bps.wait(group=group)
        if number in pause_before_read:
            yield from bps.pause()
        yield from bps.create("primary")
        for device in (*detectors, *step):
            yield from bps.read(device)
        yield from bps.save()
        if number in pause_after_save:
            yield from bps.pause()

    scan: Any = bp.list_scan  # its types know a motor and its positions only as one tuple
    yield from scan(list(detectors), motor, list(positions), per_step=per_step, md=dict(md or {}))


def interleaved(*plans: MsgGenerator[Any]) -> MsgGenerator[None]:
    """Several plans, each a run of its own, in turn: each goes on until it has saved an event.

    They must not share detectors: a staged detector belongs to one run.
    """
    keyed = [bpp.set_run_key_wrapper(plan, f"run-{i}") for i, plan in enumerate(plans)]
    waiting = deque((plan, None) for plan in keyed)
    try:
        while waiting:
            plan, response = waiting.popleft()
            while True:
                try:
                    message: Msg = plan.send(response)
                except StopIteration:
                    break
                response = yield message
                if message.command == "save":
                    waiting.append((plan, response))
                    break
    finally:
        for plan in keyed:
            plan.close()
