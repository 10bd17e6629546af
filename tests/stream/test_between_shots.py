"""Parts of an analysis are changed at a prompt while shots are added: none is lost, none fails."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest

from femto_bluesky.callbacks import Accumulation, LiveAnalysis
from femto_bluesky.model.rois import Roi
from femto_bluesky.stream.between_shots import between_shots
from femto_bluesky.testing.shots import make_shots


@pytest.fixture
def quick_switches() -> Iterator[None]:
    """Threads take turns after some bytecodes, and not only after milliseconds."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("is_part", [True, False])
def test_a_sum_is_reset_while_frames_are_added(is_part: bool, quick_switches: None) -> None:
    shots = make_shots(("pilatus",), n_steps=12, n_frames=25)
    live = LiveAnalysis() if is_part else Accumulation()
    failures: list[Exception] = []

    def add() -> None:
        try:
            for shot in shots:
                with live.shell.lock:
                    live.update(shot)
        except Exception as failure:
            failures.append(failure)

    with live.shell.lock:
        live.update(shots[0])
    total = live.accumulation() if isinstance(live, LiveAnalysis) else live
    thread = threading.Thread(target=add)
    thread.start()
    while thread.is_alive():
        total.reset()
        total.undo_reset()
    thread.join()
    assert failures == []
    found = total.result()
    assert found is not None
    assert found.n_frames == len(shots) + 1


def test_nobody_adds_meanwhile_and_who_waits_is_not_kept() -> None:
    live = LiveAnalysis({"all": Roi(x0=0, y0=0, x1=2, y1=2)})
    for part in (live, live.rois, live.photons, live.cleaning, live.accumulation()):
        with between_shots(part):
            assert live.shell.lock._is_owned()
            part.wait()  # it holds the lock, and does not wait for itself
        assert not live.shell.lock._is_owned()
