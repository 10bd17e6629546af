from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest

from femto_bluesky.callbacks import Accumulation, CmosCleaning
from femto_bluesky.callbacks.accumulation import Extent
from femto_bluesky.model.shots import DenseFrame, Shot
from femto_bluesky.testing.shots import make_shots

SHOTS = make_shots(("pilatus",), n_steps=2, n_frames=3)


def shot(value, number=0, run="r", detector="cam", shape=(3, 4), dtype="uint16", **changes):
    frame = DenseFrame(np.full(shape, value, dtype))
    made = Shot(run, 0, number, detector, frame, time=float(number))
    return replace(made, **changes)


def seen(*shots, **settings):
    accumulation = Accumulation(**settings)
    for one in shots:
        accumulation.update(one)
    return accumulation


def level(accumulation):
    """The value of a uniform image."""
    found = accumulation.result()
    assert found.image.min() == found.image.max()
    return found.image.flat[0]


def warnings_of(caplog):
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


# what is summed


def test_the_sum_against_numpy():
    found = seen(*SHOTS).result()
    valid = np.array([~one.frame.mask for one in SHOTS])
    pixels = np.array([one.frame.pixels for one in SHOTS], np.float64)
    expected = np.where(valid, pixels, 0).sum(axis=0)
    np.testing.assert_array_equal(found.image, expected)
    np.testing.assert_array_equal(found.mask, ~valid.any(axis=0))
    np.testing.assert_array_equal(found.n_valid, valid.sum(axis=0))
    assert (found.n_frames, found.detector, found.is_sum) == (6, "pilatus", True)
    assert found.pixel_size_m == (172e-6, 172e-6)
    assert found.total == expected.sum()
    assert found.hottest == expected.max()


def test_the_shot_is_handed_on_as_it_is():
    accumulation = Accumulation()
    one = shot(1)
    assert accumulation.update(one) is one
    assert accumulation.retract(one) is one
    assert Accumulation(detector="other").update(one) is one


def test_clean_frames_are_summed():
    shots = make_shots(("andor3_zyla12",))
    cleaning = CmosCleaning()
    found = seen(*(cleaning.update(one) for one in shots)).result()
    above = np.array([one.frame.pixels.astype(int) - 100 for one in shots])
    np.testing.assert_array_equal(found.image, np.where(above >= 12, above, 0).sum(axis=0))
    assert found.image.dtype == np.uint32
    labels = [
        seen(shot(1, detector=name)).groups()[0].signal.label
        for name in ("andor3_balor1", "pilatus")
    ]
    assert labels == ["ADU", "counts"]


def test_it_goes_on_across_runs():
    both = seen(shot(1, run="a"), shot(2, 1, run="a"), shot(4, run="b"))
    assert both.groups()[0].title == "cam: Sum of 3 images of 2 runs, Total 84, Hottest 7"
    found = both.result()
    assert (found.image == 7).all()
    assert found.n_frames_of_run == {"a": 2, "b": 1}


def test_a_sum_cannot_wrap():
    accumulation = seen(shot(65535))
    accumulation._sum.total[:], accumulation._sum.n_frames = 65535 * 65537, 65537
    accumulation.update(shot(65535, 1))
    assert level(accumulation) == 65535 * 65538


def test_nothing_seen():
    accumulation = Accumulation()
    assert accumulation.result() is None
    assert (accumulation.run_rows("r"), accumulation.groups()) == ({}, [])
    assert accumulation.outputs([]) == []
    names = [output.name for output in accumulation.outputs(["cam", "b"])]
    assert names == ["cam_n_accumulated", "cam_total", "cam_hottest", "cam_image"]
    assert Accumulation(detector="b").outputs(["cam"]) == []


# start, stop, reset


def test_stopped_the_newest_frame_is_forwarded_and_the_sum_is_kept():
    accumulation = seen(shot(1), shot(2, 1))
    accumulation.stop()
    assert level(accumulation) == 3, "until a newer frame comes, the sum is what there is"
    pixels = np.full((3, 4), 7, np.uint16)
    accumulation.update(shot(0, 2, frame=DenseFrame(pixels)))
    pixels[:] = 99  # the reader's next frame
    found = accumulation.result()
    assert (found.image == 7).all()
    assert (found.n_frames, found.is_sum) == (1, False)
    assert accumulation.groups()[0].title.startswith("cam: Newest image, Total 84")
    accumulation.update(shot(5, 3))
    assert level(accumulation) == 5
    accumulation.start()
    assert level(accumulation) == 3
    accumulation.update(shot(10, 4))
    assert level(accumulation) == 13
    assert accumulation.result().n_frames == 3


def test_the_newest_is_of_the_latest_shot():
    accumulation = seen(shot(9, 5), shot(1, 3), accumulating=False)
    assert level(accumulation) == 9
    other = seen(shot(2, 7), accumulating=False)
    accumulation.merge(other)
    assert level(accumulation) == 2
    accumulation.update(shot(4, 7))
    assert level(accumulation) == 4, "a shot that is taken again, at the same time"


def test_a_newest_frame_that_is_taken_back_is_not_shown():
    accumulation = seen(shot(1), accumulating=False)
    accumulation.retract(shot(1, detector="other"))
    assert level(accumulation) == 1
    accumulation.retract(shot(1))
    assert accumulation.result() is None


def test_reset_and_undo():
    accumulation = seen(shot(1), shot(2, 1))
    accumulation.reset()
    assert accumulation.result() is None
    assert accumulation.why_reset == "reset by the user"
    accumulation.update(shot(5, 2))
    assert level(accumulation) == 5
    accumulation.undo_reset()
    assert level(accumulation) == 8
    assert accumulation.why_reset == ""
    assert accumulation.result().n_frames == 3
    with pytest.raises(ValueError, match="there is no reset to undo") as error:
        accumulation.undo_reset()
    assert "undone already" in str(error.value)


def test_a_second_reset_in_a_row_does_not_lose_the_sum():
    accumulation = seen(shot(1))
    accumulation.reset()
    accumulation.reset()
    accumulation.undo_reset()
    assert level(accumulation) == 1


def test_a_reset_cannot_be_undone_onto_frames_of_another_kind():
    accumulation = seen(shot(1), shot(2, run="s", shape=(5, 6)))
    with pytest.raises(ValueError, match="3x4 frames of 'cam' and of 5x6 frames") as error:
        accumulation.undo_reset()
    assert "accumulate each on its own" in str(error.value)
    assert accumulation.result().image.shape == (5, 6), "nothing is lost by the attempt"
    accumulation.reset()
    assert accumulation.result() is None


def test_what_others_see_of_it():
    shots = make_shots(("pilatus",), runs=["a", "b"], n_frames=2)
    accumulation = Accumulation()
    assert (accumulation.extent, accumulation.kind) == (Extent(), None)
    for shot in shots:
        accumulation.update(replace(shot, time=100.0 + shot.number))
    n = len(shots)
    assert accumulation.extent == Extent(n, 2, 100.0)
    assert accumulation.kind == ("pilatus", shots[0].frame.shape, (0, 0))
    assert not accumulation.can_undo
    accumulation.reset()
    assert accumulation.can_undo
    assert accumulation.extent == Extent()
    accumulation.update(replace(shots[0], time=50.0, run="c"))
    accumulation.undo_reset()
    assert accumulation.extent == Extent(n + 1, 3, 50.0)
    # the newest frame is shown, and the sum is what it was
    accumulation.stop()
    larger = DenseFrame(np.ones((3, 3), np.uint16), None)
    accumulation.update(replace(shots[0], frame=larger, run="d"))
    assert accumulation.kind == ("pilatus", (3, 3), (0, 0))
    assert accumulation.extent.n_frames == n + 1
    # of frames of another kind nothing can be added to what was before
    accumulation.start()
    accumulation.update(replace(shots[0], frame=larger, run="d"))
    assert not accumulation.can_undo


def test_there_is_no_reset_to_undo_after_clear():
    accumulation = seen(shot(1))
    accumulation.reset()
    accumulation.clear()
    with pytest.raises(ValueError, match="there is no reset to undo"):
        accumulation.undo_reset()


def test_a_shot_before_the_reset_can_be_taken_back():
    accumulation = seen(shot(1), shot(2, 1))
    accumulation.reset()
    accumulation.update(shot(4, 2))
    accumulation.retract(shot(2, 1))
    accumulation.undo_reset()
    assert level(accumulation) == 5


# frames of another kind


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shape": (5, 6)}, "3x4 frames of 'cam' were followed by 5x6 frames of 'cam'"),
        ({"origin": (10, 20)}, "3x4 frames of 'cam' from row 10, column 20"),
        ({"run": "s", "detector": "zyla"}, "were followed by 3x4 frames of 'zyla'"),
    ],
)
def test_it_begins_anew_and_says_so(changes, words, caplog):
    accumulation = seen(shot(1), shot(2, 1))
    accumulation.update(shot(5, 2, **changes))
    assert level(accumulation) == 5
    assert words in accumulation.why_reset
    assert warnings_of(caplog) == [f"the accumulation begins anew: {accumulation.why_reset}"]
    assert accumulation.groups()[0].attributes["why_reset"] == accumulation.why_reset
    accumulation.reset()
    accumulation.undo_reset()
    assert level(accumulation) == 5


def test_another_type_of_number_is_no_other_kind():
    accumulation = seen(shot(1), shot(2, 1, dtype="float32"), shot(3, 2, dtype="int32"))
    assert level(accumulation) == 6
    assert accumulation.why_reset == ""


def test_stopped_the_sum_is_kept_whatever_comes():
    accumulation = seen(shot(1), shot(2, 1))
    accumulation.stop()
    accumulation.update(shot(9, 2, run="align", shape=(5, 6)))
    assert accumulation.result().image.shape == (5, 6)
    accumulation.start()
    assert accumulation.why_reset == ""
    accumulation.update(shot(3, run="s"))
    assert level(accumulation) == 6


def test_a_second_detector_is_ignored_and_the_remedy_named(caplog):
    shots = [shot(v, n, detector=d) for n, v in enumerate((1, 2)) for d in ("cam", "zyla")]
    accumulation = seen(*shots)
    assert accumulation.result().detector == "cam"
    assert level(accumulation) == 3
    assert warnings_of(caplog) == [
        "'zyla' is not accumulated, 'cam' is; use Accumulation(detector='zyla') for it"
    ]
    accumulation.update(shot(4, run="s", detector="cam"))
    accumulation.update(shot(4, run="s", detector="zyla"))
    assert level(accumulation) == 7
    assert len(warnings_of(caplog)) == 2, "once for each run"


def test_stopped_from_the_start_detectors_do_not_take_turns(caplog):
    shots = [shot(v, n, detector=d) for n, v in enumerate((1, 2)) for d in ("cam", "zyla")]
    found = seen(*shots, accumulating=False).result()
    assert found.detector == "cam"
    assert "Accumulation(detector='zyla')" in warnings_of(caplog)[0]


def test_a_reset_by_the_user_keeps_the_detector():
    accumulation = seen(shot(1), shot(1, detector="zyla"))
    accumulation.reset()
    accumulation.update(shot(7, 1, detector="zyla"))
    assert accumulation.result() is None
    accumulation.update(shot(3, 1))
    assert level(accumulation) == 3


def test_cleared_it_follows_the_first_detector_that_comes():
    accumulation = seen(shot(1), shot(1, detector="zyla"))
    accumulation.clear()
    accumulation.update(shot(2, 1, detector="zyla"))
    assert accumulation.result().detector == "zyla"


def test_a_detector_can_be_named(caplog):
    shots = [shot(v, detector=d) for v, d in ((1, "cam"), (2, "zyla"))]
    found = seen(*shots, detector="zyla").result()
    assert (found.detector, found.total) == ("zyla", 24)
    assert warnings_of(caplog) == []


def test_another_detector_can_be_named_later():
    accumulation = seen(shot(1), shot(2, detector="zyla"))
    accumulation.configure({"detector": "zyla"})
    accumulation.update(shot(2, 1, detector="zyla"))
    assert accumulation.result().detector == "zyla"
    assert "were followed by 3x4 frames of 'zyla'" in accumulation.why_reset


def test_runs_of_two_detectors_at_one_time_do_not_throw_each_other_away(caplog):
    shots = [shot(1, n, run=d, detector=d) for n in range(4) for d in ("cam", "zyla")]
    accumulation = seen(*shots)
    assert accumulation.result().detector == "zyla"
    assert accumulation.result().n_frames == 4
    assert len(warnings_of(caplog)) == 2, "one reset, and one run that is ignored from then on"


def test_a_worker_that_goes_on_with_a_run_keeps_its_detector():
    one = seen(shot(1), shot(1, detector="zyla"))
    other = Accumulation()
    other.merge(one)
    other.update(shot(5, 1, detector="zyla"))
    other.update(shot(2, 1))
    assert (level(other), other.result().detector) == (3, "cam")


# taking back


def test_a_shot_that_is_taken_again_counts_once():
    accumulation = seen(shot(1), shot(2, 1))
    accumulation.retract(shot(2, 1))
    assert level(accumulation) == 1
    accumulation.update(shot(10, 1))
    assert level(accumulation) == 11
    assert accumulation.result().n_frames == 2


def test_a_shot_that_is_not_in_the_sum_is_not_taken_out():
    accumulation = seen(shot(1))
    for other in (shot(1, 1), shot(1, run="s"), shot(1, detector="zyla")):
        accumulation.retract(other)
    assert level(accumulation) == 1


def test_a_sum_of_nothing_binds_nobody():
    accumulation = seen(shot(1))
    accumulation.retract(shot(1))
    assert accumulation.result() is None
    accumulation.update(shot(1, shape=(5, 6)))
    assert accumulation.why_reset == ""


def test_sums_with_a_shot_in_common_are_not_merged():
    with pytest.raises(ValueError, match="shot 1 of run r") as error:
        seen(shot(1), shot(2, 1)).merge(seen(shot(2, 1)))
    assert "parts that do not overlap" in str(error.value)


# what it gives out


def test_the_rows_and_the_image():
    accumulation = seen(*SHOTS)
    found = accumulation.result()
    [(stream, row)] = accumulation.run_rows("run-1").items()
    assert stream == "accumulated"
    assert (row["pilatus_n_accumulated"], row["pilatus_total"]) == (6, found.total)
    np.testing.assert_array_equal(row["pilatus_image"], found.image)
    [group] = accumulation.groups()
    group.check()
    assert group.path == "accumulated/pilatus"
    assert group.title.startswith("pilatus: Sum of 6 images, Total ")
    assert group.columns[0].name == "n_valid"
    assert group.attributes["x_pixel_size_m"] == 172e-6
    np.testing.assert_array_equal(group.mask, found.mask)
    assert [axis.values.tolist() for axis in group.axes] == [list(range(12)), list(range(16))]


def test_a_result_is_a_copy():
    accumulation = seen(shot(1))
    found = accumulation.result()
    found.image[:] = 99
    assert level(accumulation) == 1


def test_the_settings_are_recorded():
    accumulation = Accumulation(detector="cam")
    accumulation.stop()
    assert accumulation.settings_record() == {"detector": "cam", "accumulating": False}
    assert accumulation.fresh().settings_record() == accumulation.settings_record()
