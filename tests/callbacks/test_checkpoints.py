"""The running sum survives: what is restored is the sum of exactly the frames that it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from femto_bluesky.callbacks.checkpoints import Checkpoints, RestoreError
from femto_bluesky.files import checkpoints as files
from femto_bluesky.files.checkpoints import previous
from femto_bluesky.model.geometry import Geometry
from femto_bluesky.model.shots import DenseFrame, Shot
from femto_bluesky.testing.shots import make_shots
from tests.callbacks.kept_sums import SHOTS, assert_same, feed, keep, live_of, restored

GEOMETRY = Geometry(distance_m=0.1, x0_px=8, y0_px=6, pixel_size_m=(172e-6, 172e-6), energy_kev=10)


# what is restored


@pytest.mark.parametrize("n", [1, 5, 9])
def test_the_sum_comes_back_and_frames_add_on_to_it(tmp_path: Path, n: int) -> None:
    detectors = ("pilatus", "andor3_zyla10", "andor3_balor1")
    shots = make_shots(detectors, runs=("one", "two"), n_steps=3)
    keep(live_of(*shots[: 3 * n]), tmp_path)
    live = restored(tmp_path)
    assert_same(live, live_of(*shots[: 3 * n]))
    feed(live, *shots[3 * n :])
    assert_same(live, live_of(*shots))


def test_iq_of_the_sum_comes_back_with_it(tmp_path: Path) -> None:
    keep(live_of(*SHOTS, geometries=GEOMETRY), tmp_path)
    live, straight = restored(tmp_path, geometries=GEOMETRY), live_of(*SHOTS, geometries=GEOMETRY)
    np.testing.assert_array_equal(
        live.diffraction.accumulated("pilatus").intensity,
        straight.diffraction.accumulated("pilatus").intensity,
    )
    (image,) = live.groups()[:1]
    assert "Sum of 12 images of 2 runs" in image.title


def test_a_reset_can_be_undone_after_a_restart(tmp_path: Path) -> None:
    live = live_of(*SHOTS[:6])
    live.accumulation().reset()
    feed(live, *SHOTS[6:8])
    keep(live, tmp_path)
    live = restored(tmp_path)
    assert live.accumulation().extent.n_frames == 2
    assert live.accumulation().why_reset == "reset by the user"
    live.accumulation().undo_reset()
    assert_same(live, live_of(*SHOTS[:8]))


def test_what_is_there_is_said_in_words(tmp_path: Path) -> None:
    live = live_of(*SHOTS[:7])
    live.accumulation().reset()
    keep(live, tmp_path / "reset")
    keep(live_of(*SHOTS[:7]), tmp_path / "sum")
    keeper = Checkpoints(live_of(), tmp_path / "sum")
    (found,) = keeper.found()
    assert str(found).startswith("pilatus: 7 frames of 2 runs, from 2001-09-0")
    (found,) = Checkpoints(live_of(), tmp_path / "reset").found()
    assert str(found).startswith("pilatus: no frames, kept ")
    assert str(found).endswith("; before the last reset 7 frames of 2 runs")
    assert Checkpoints(live_of(), tmp_path / "none").found() == []


def test_a_run_broken_off_may_be_replayed_whole(tmp_path: Path) -> None:
    for n in range(0, 12, 3):
        directory = tmp_path / str(n)
        keep(live_of(*SHOTS[:n]), directory)
        live = restored(directory)
        feed(live, *SHOTS)
        assert_same(live, live_of(*SHOTS))


def test_what_was_taken_again_is_taken_once_wherever_it_was_broken_off(tmp_path: Path) -> None:
    """Two shots, one of them is taken back and again, and there is a reset between."""
    other = Shot("one", 0, 1, "pilatus", SHOTS[5].frame, time=1e9)
    acts = [
        ("update", SHOTS[0]), ("update", SHOTS[1]), ("retract", SHOTS[1]), ("update", other),
        ("retract", other), ("update", SHOTS[1]), ("update", SHOTS[2]),
    ]  # fmt: skip
    straight = live_of()
    for act, shot in acts:
        getattr(straight, act)(shot)
    for n in range(len(acts) + 1):
        live = live_of()
        for act, shot in acts[:n]:
            getattr(live, act)(shot)
        keep(live, tmp_path / str(n))
        live = restored(tmp_path / str(n))
        for act, shot in acts:
            getattr(live, act)(shot)
        assert_same(live, straight)


def test_frames_before_a_reset_do_not_come_again_by_a_replay(tmp_path: Path) -> None:
    live = live_of(*SHOTS[:3])
    live.accumulation().reset()
    feed(live, *SHOTS[3:5])
    keep(live, tmp_path)
    live = restored(tmp_path)
    feed(live, *SHOTS)
    assert live.accumulation().extent.n_frames == 9
    # who resets after the restart wants what comes then
    live.accumulation().reset()
    feed(live, *SHOTS[:4])
    assert live.accumulation().extent.n_frames == 4


def test_frames_of_another_shape_begin_anew_and_say_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keep(live_of(*SHOTS), tmp_path)
    live = restored(tmp_path)
    feed(live, *make_shots(("pilatus",), runs=("three",), shape=(8, 9), n_steps=1))
    assert "12x16 frames of 'pilatus' were followed by 8x9 frames of 'pilatus'" in caplog.text
    assert live.accumulation().extent.n_frames == 2


def test_a_sum_of_other_settings_is_refused_in_words(tmp_path: Path) -> None:
    shots = make_shots(("andor3_zyla10",))
    keep(live_of(*shots, cmos={"threshold_adu": 20}), tmp_path)
    live = live_of()
    keeper = Checkpoints(live, tmp_path)
    with pytest.raises(RestoreError, match=r"cmos\.threshold_adu was 20.0, and is None\. Set them"):
        keeper.restore()
    assert not live.accumulations.of
    keeper.restore(other_settings=True)
    assert live.accumulation().extent.n_frames == 6
    keeper.close()


def test_a_sum_is_not_restored_into_frames(tmp_path: Path) -> None:
    keep(live_of(*SHOTS), tmp_path)
    live = live_of(SHOTS[0])
    keeper = Checkpoints(live, tmp_path)
    with pytest.raises(RestoreError, match="frames of 'pilatus' have been added since the start"):
        keeper.restore()
    assert live.accumulation().extent.n_frames == 1
    keeper.close()


def test_a_torn_file_is_told_and_the_one_before_comes_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    live = live_of(*SHOTS[:3])
    keeper = Checkpoints(live, tmp_path)
    keeper.look()
    feed(live, *SHOTS[3:6])
    keeper.look()
    keeper.close()
    path = keeper.path("pilatus")
    whole = bytearray(path.read_bytes())
    whole[whole.index(b"total.npy") + 400] ^= 1  # found only when all of it is read
    path.write_bytes(whole)
    live = restored(tmp_path)
    assert "is no whole running sum (Bad CRC-32 for file 'total.npy')" in caplog.text
    assert live.accumulation().extent.n_frames == 3
    # what is good is not replaced by what is torn
    keeper = Checkpoints(live, tmp_path)
    keeper._own.add(path)
    feed(live, SHOTS[3])
    keeper.look()
    keeper.close()
    assert files.read_head(previous(path)).total.n_frames == 3
    assert files.read_head(path).total.n_frames == 4
    for one in (path, previous(path)):
        one.write_bytes(b"torn")
    assert Checkpoints(live_of(), tmp_path).found() == []
    assert "sum_pilatus.npz is no whole running sum (File is not a zip file)" in caplog.text


def test_where_no_sum_of_a_detector_is_whole_those_of_others_come_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    live = live_of(*make_shots(("pilatus", "andor3_zyla10")))
    keeper = keep(live, tmp_path)
    path = keeper.path("pilatus")
    whole = bytearray(path.read_bytes())
    whole[whole.index(b"shots.npy") + 150] ^= 1
    path.write_bytes(whole)
    assert list(restored(tmp_path).accumulations.of) == ["andor3_zyla10"]
    assert "sum_pilatus.npz is no whole running sum" in caplog.text


def test_what_is_not_restored_is_set_aside(tmp_path: Path) -> None:
    for n in range(1, 7):
        keep(live_of(*SHOTS[:n]), tmp_path)
    aside = sorted((tmp_path / "aside").iterdir())
    assert [files.read_head(one).total.n_frames for one in aside] == [3, 4, 5]
    # where no frames come, it stays where it is
    keep(live_of(), tmp_path)
    assert len(Checkpoints(live_of(), tmp_path).found()) == 1


@pytest.mark.parametrize("name", ["a/../b", "", "Cam", "µ" * 300, "..", "cam 1", "cam_1"])
def test_whatever_a_detector_is_called_its_sum_has_a_file(tmp_path: Path, name: str) -> None:
    shot = Shot("run", 0, 0, name, DenseFrame(np.ones((3, 4), np.uint16)))
    keep(live_of(shot), tmp_path / "sums")
    assert [one.name for one in tmp_path.iterdir()] == ["sums"]
    assert restored(tmp_path / "sums").accumulation(name).extent.n_frames == 1
