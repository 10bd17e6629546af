"""At the prompt: sums are kept, and brought back when somebody wants them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.console.kept_sums import keep_sums
from femto_bluesky.console.settings import BeamlineSettings, SimulatedBeamline, Twin
from femto_bluesky.console.sums import Sums
from femto_bluesky.testing.shots import make_shots

SHOTS = make_shots(("andor3_zyla10",))


class Typist:
    """Answers what is asked."""

    def __init__(self, answer: str | type[BaseException]) -> None:
        self.answer, self.asked = answer, ""

    def __call__(self, question: str) -> str:
        self.asked = question
        if isinstance(self.answer, str):
            return self.answer
        raise self.answer


def settings(directory: Path, restore: Any = "ask") -> BeamlineSettings:
    simulated = SimulatedBeamline(cameras={"a": Twin(kind="zyla", shape=(4, 4))}, motors=("m",))
    return BeamlineSettings(
        beamline="b", directory=directory, simulation=simulated, restore=restore
    )


def started(
    directory: Path, answer: str | type[BaseException] = "", restore: Any = "ask", **options: Any
) -> tuple[LiveAnalysis, Sums, Typist]:
    live, typist = LiveAnalysis(photon_files=False, **options), Typist(answer)
    return live, Sums(live, keep_sums(live, settings(directory, restore), typist)), typist


@pytest.fixture
def before(tmp_path: Path) -> Path:
    live, sums, typist = started(tmp_path)
    assert typist.asked == ""
    for shot in SHOTS:
        live.update(shot)
    sums.close()
    return tmp_path


@pytest.mark.parametrize(
    ("restore", "answer", "n_frames"),
    [
        ("ask", "y", 6), ("ask", " YES", 6), ("ask", "", None), ("ask", "what?", None),
        ("ask", EOFError, None), ("ask", KeyboardInterrupt, None), ("always", "n", 6),
        ("never", "y", None),
    ],
)  # fmt: skip
def test_it_is_asked_or_not(before: Path, restore: str, answer: Any, n_frames: int | None) -> None:
    live, sums, typist = started(before, answer, restore)
    found = live.result().accumulated.get("andor3_zyla10")
    assert (None if found is None else found.n_frames) == n_frames
    if restore == "ask":
        assert "andor3_zyla10: 6 frames of 1 run, from 2001-09-" in typist.asked
        assert typist.asked.endswith("\nAdd the next frames to them? [y/N] ")
    sums.close()
    # what was not wanted is still there
    live, sums, _ = started(before, "y")
    assert "6 frames of 1 run, adding" in sums.list_sums().lines["andor3_zyla10"]
    sums.close()


def test_other_settings_are_told_before_and_refused_where_nobody_is_asked(
    before: Path, caplog: pytest.LogCaptureFixture
) -> None:
    live, sums, _ = started(before, "", "always", cmos={"threshold_adu": 20})
    sums.close()
    assert not live.accumulations.of
    assert "no sum is restored: the sum of andor3_zyla10: 6 frames" in caplog.text
    live, sums, typist = started(before, "y", cmos={"threshold_adu": 20})
    sums.close()
    assert "    made with other settings: cmos.threshold_adu was None, and is 20.0" in typist.asked
    assert live.accumulation().extent.n_frames == 6


def test_of_the_sums_of_another_prompt_that_is_open_nothing_is_asked(before: Path) -> None:
    _, sums, _ = started(before, "y")
    live, others, typist = started(before, "y")
    assert (typist.asked, dict(live.accumulations.of)) == ("", {})
    others.close()
    sums.close()


def test_a_directory_that_cannot_be_used_stops_no_prompt(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "sums").write_text("")
    live, sums, _ = started(tmp_path, "y", "always")
    for shot in SHOTS:
        live.update(shot)
    sums.close()
    assert live.accumulation().extent.n_frames == 6
    assert "no sum is restored" in caplog.text
    assert "the running sums are in memory only" in caplog.text
