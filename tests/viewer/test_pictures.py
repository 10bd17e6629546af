from __future__ import annotations

import threading
import zlib

import numpy as np
import pytest

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.kernels import pooling
from femto_bluesky.model.detectors import DetectorSettings
from femto_bluesky.model.shots import DenseFrame, Shot
from femto_bluesky.viewer.aged import Aged
from femto_bluesky.viewer.colour_scale import ColourScale
from femto_bluesky.viewer.once import Once
from femto_bluesky.viewer.pictures import Pictures, warm
from femto_bluesky.viewer.views import Window
from tests.viewer.shown import seen

ALL = Window(60, 80)
SHAPE = (60, 80)
LINEAR = ColourScale("linear")


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def frame(value=0, shape=SHAPE, **pixels):
    made = np.full(shape, value, np.float32)
    for place, count in pixels.items():
        y, x = map(int, place[1:].split("_"))
        made[y, x] = count
    return made


def show(live, pixels, number=0, detector="det", mask=None):
    live.update(Shot("run", 0, number, detector, DenseFrame(pixels, mask)))


@pytest.fixture
def live():
    return LiveAnalysis()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def pictures(live, clock):
    return Pictures(live, clock)


def test_before_the_first_frame_there_is_nothing(live, pictures):
    assert pictures.picture("det", ALL, LINEAR) is None
    assert pictures.value("det", 0, 0) is None
    assert pictures.projections("det", ALL) is None


def test_the_whole_sum_pixel_by_pixel(live, pictures):
    show(live, frame(p3_4=10))
    show(live, frame(p3_4=10, p59_79=5), 1)
    picture = pictures.picture("det", ALL, LINEAR)
    assert picture.title == "Sum of 2 images, Total 25, Hottest 20"
    assert (picture.shape, picture.view.factor, picture.units) == (SHAPE, 1, "counts")
    assert (picture.codes[3, 4], picture.codes[59, 79], picture.codes[0, 0]) == (255, 64, 1)
    assert (picture.limits.low, picture.limits.high) == (0, 20)
    assert pictures.value("det", 59, 79) == 5
    assert pictures.value("det", 60, 0) is None


def test_what_is_masked_is_grey_and_counts_nowhere(live, pictures):
    mask = np.zeros(SHAPE, bool)
    mask[10:20] = True
    pixels = frame(7, p2_2=9)
    pixels[mask] = -1
    show(live, pixels, mask=mask)
    picture = pictures.picture("det", ALL, LINEAR)
    assert ((picture.codes == 0) == mask).all()
    assert (picture.limits.low, picture.limits.high) == (7, 9)
    assert pictures.value("det", 10, 0) is None
    # a row that was valid once is shown
    mask[10] = False
    show(live, frame(7), 1, mask=mask)
    codes = pictures.picture("det", ALL, LINEAR).codes
    assert (codes[10] > 0).all()
    assert (codes[11:20] == 0).all()


def test_masks_that_stay_the_same(live, pictures):
    mask = np.zeros(SHAPE, bool)
    mask[5] = True
    mask.flags.writeable = False
    show(live, frame(3), mask=mask)
    show(live, frame(3), 1, mask=mask)
    assert (pictures.picture("det", ALL, LINEAR).codes[5] == 0).all()
    before = live.accumulation().version
    # a result adds up what is kept apart: who looked meanwhile is told
    assert live.accumulation().result().mask[5].all()
    assert live.accumulation().version != before
    assert (pictures.picture("det", ALL, LINEAR).codes[5] == 0).all()
    assert pictures.value("det", 5, 5) is None
    show(live, frame(3), 2)
    assert pictures.picture("det", ALL, LINEAR).codes.all()


def test_a_part_shows_what_is_in_sight_and_tells_of_the_whole(live, pictures, clock):
    show(live, frame(1, p0_0=1000, p30_40=9))
    part = Window(400, 400, (26, 36), (36, 46))
    picture = pictures.picture("det", part, LINEAR)
    assert picture.codes.shape == (10, 10)
    assert picture.title == "Sum of 1 image, Total 5807, Hottest 1000"
    assert picture.limits.high == 1000
    in_sight = pictures.picture("det", part, ColourScale("linear", "visible"))
    assert (in_sight.limits.low, in_sight.limits.high) == (1, 9)
    assert in_sight.codes[4, 4] == 255
    # while a part is in sight, the whole is looked at twice a second
    show(live, frame(1), 1)
    again = pictures.picture("det", part, LINEAR)
    assert (again.hottest, again.is_final) == (1000, False)
    clock.now = 0.6
    again = pictures.picture("det", part, LINEAR)
    assert (again.hottest, again.limits.low, again.is_final) == (1001, 1, False)
    # and its smallest pixel is looked for every other second
    clock.now = 2.1
    again = pictures.picture("det", part, LINEAR)
    assert (again.hottest, again.limits.low, again.is_final) == (1001, 2, True)
    assert pictures.picture("det", ALL, LINEAR).hottest == 1001
    assert pictures.picture("det", Window(9, 9, (500, 600), (0, 9)), LINEAR) is None


def test_limits(live, pictures):
    pixels = np.arange(4800, dtype=np.float32).reshape(SHAPE)
    show(live, pixels)
    ranked = pictures.picture("det", ALL, ColourScale("sqrt", "percentile", percentile=90)).limits
    assert (ranked.low, ranked.high) == pytest.approx((479.9, 4319.1))
    fixed = pictures.picture("det", ALL, ColourScale("log", "fixed", (5, 50)))
    assert (fixed.limits.low, fixed.limits.high) == (5, 50)
    assert (fixed.codes[0, 5], fixed.codes[0, 50], fixed.codes[0, 0]) == (1, 255, 1)
    means = pictures.picture("det", Window(30, 40), ColourScale("linear", mean=True))
    assert (means.limits.low, means.limits.high) == (40.5, 4758.5)
    assert (means.total, means.hottest) == (pixels.sum(), 4799)


@pytest.mark.parametrize("autoscale", ["min-max", "percentile", "visible"])
@pytest.mark.parametrize("mean", [False, True])
def test_infinite_pixels_do_not_set_the_limits(live, pictures, autoscale, mean):
    pixels = frame(2, p3_4=50)
    pixels[0, :2] = np.inf, -np.inf
    show(live, pixels)
    scale = ColourScale("log", autoscale, percentile=100.0, mean=mean)
    picture = pictures.picture("det", ALL, scale)
    assert (picture.limits.low, picture.limits.high) == (2, 50)
    assert picture.codes[0, :3].tolist() == [255, 1, 1]


def test_a_photon_is_seen_from_afar(live, pictures):
    show(live, frame(shape=(600, 800), p311_402=1))
    small = Window(60, 80)
    assert (pictures.picture("det", small, LINEAR).codes == 255).sum() == 1
    seen_better = pictures.picture("det", small, ColourScale("linear", max_filter=5))
    assert (seen_better.codes == 255).sum() == 25


def test_the_newest_image_when_stopped_and_versions(live, pictures):
    show(live, frame(2))
    accumulation, versions = live.accumulation(), []

    def changed():
        versions.append(accumulation.version)
        return pictures.picture("det", ALL, LINEAR)

    changed()
    live.configure({"accumulate": False})
    changed()
    mask = np.zeros(SHAPE, bool)
    mask[0] = True
    show(live, frame(9), 1, mask=mask)
    newest = changed()
    assert newest.title == "Newest image, Total 42480, Hottest 9"
    assert (newest.codes[0] == 0).all()
    live.configure({"accumulate": True})
    assert changed().title == "Sum of 1 image, Total 9600, Hottest 2"
    accumulation.reset()
    assert changed() is None
    accumulation.undo_reset()
    assert changed().hottest == 2
    accumulation.clear()
    assert changed() is None
    assert len(set(versions)) == len(versions)


def test_frames_of_another_shape(live, pictures):
    show(live, frame(1))
    first = pictures.picture("det", Window(30, 40, (0, 9), (0, 9)), LINEAR)
    show(live, frame(4, shape=(20, 30)), 1)
    second = pictures.picture("det", Window(30, 40, (0, 9), (0, 9)), LINEAR)
    assert second.shape == (20, 30)
    assert second.hottest == 4  # though the survey of the other shape is young
    assert first.kind != second.kind


def test_who_shows_the_same_shares_a_picture(live, pictures):
    show(live, frame(1))
    one = pictures.picture("det", ALL, LINEAR)
    assert pictures.picture("det", Window(60, 80), ColourScale("linear")) is one
    assert pictures.encoded(one) is pictures.encoded(one)
    assert pictures.picture("det", ALL, ColourScale("log")) is not one
    show(live, frame(1), 1)
    assert pictures.picture("det", ALL, LINEAR).number != one.number


def inflated(data, picture):
    codes = np.frombuffer(zlib.decompress(data), np.uint8)
    return codes.reshape(picture.codes.shape)


def test_what_is_sent(live, pictures):
    rng = np.random.default_rng(0)
    scale = ColourScale("linear", "fixed", (0, 10))
    show(live, rng.poisson(1, (600, 800)).astype(np.float32))
    first = pictures.picture("det", Window(600, 800), scale)
    whole = pictures.encoded(first)
    np.testing.assert_array_equal(inflated(whole, first), first.codes)
    show(live, rng.poisson(0.001, (600, 800)).astype(np.float32), 1)
    second = pictures.picture("det", Window(600, 800), scale)
    change = pictures.encoded(second, first)
    np.testing.assert_array_equal(inflated(change, second) ^ first.codes, second.codes)
    assert len(change) < len(whole) / 10
    # of another part nothing can be told by what has changed
    part = pictures.picture("det", Window(600, 800, (0, 99), (0, 99)), scale)
    np.testing.assert_array_equal(inflated(pictures.encoded(part, first), part), part.codes)


def test_projections_are_those_of_the_sum(live, pictures):
    rng = np.random.default_rng(0)
    pixels = rng.poisson(3, SHAPE).astype(np.float32)
    show(live, pixels)
    rows, of_rows, columns, of_columns = pictures.projections("det", ALL)
    np.testing.assert_allclose(of_rows, pixels.sum(axis=1))
    np.testing.assert_allclose(of_columns, pixels.sum(axis=0))
    np.testing.assert_array_equal(rows, np.arange(0.5, 60))
    np.testing.assert_array_equal(columns, np.arange(0.5, 80))
    # in blocks of 4 pixels: means of the sums of 4 rows
    rows, of_rows, columns, _ = pictures.projections("det", Window(16, 20))
    assert rows[:2].tolist() == [2, 6]
    np.testing.assert_allclose(of_rows[0], pixels[:4].sum() / 4)
    part = pictures.projections("det", Window(100, 100, (10, 20), (20, 30)))
    np.testing.assert_allclose(part.of_rows, pixels[10:20, 20:30].sum(axis=1))
    np.testing.assert_allclose(part.columns, np.arange(20.5, 30))


def test_every_detector_of_the_beamline(live, pictures):
    detectors = ("pilatus", "andor3_zyla10", "andor3_balor", "other")
    seen(live, detectors, n_steps=2)
    for detector in detectors:
        picture = pictures.picture(detector, ALL, ColourScale())
        result = live.accumulation(detector).result()
        assert ((picture.codes == 0) == result.mask).all()
        assert picture.hottest == result.hottest
        assert picture.total == pytest.approx(result.total)
        assert picture.units == ("ADU" if detector.startswith("andor") else "counts")


def test_it_is_read_while_frames_are_added(live, pictures, clock):
    """No lock: a picture may hold part of a frame, and the last one holds all of them."""
    assert live.shell.lock.acquire()  # held by this thread: who needed it would wait for ever
    show(live, frame(1, shape=(300, 400)))
    stop, found, failures = threading.Event(), [], []

    def look():
        try:
            while not stop.is_set():
                found.append(pictures.picture("det", Window(300, 400), LINEAR).hottest)
        except Exception as failure:
            failures.append(failure)

    looking = threading.Thread(target=look)
    looking.start()
    for number in range(1, 50):
        show(live, frame(1, shape=(300, 400)), number)
    stop.set()
    looking.join()
    live.shell.lock.release()
    assert not failures
    assert found == sorted(found)
    clock.now = 3.0
    assert pictures.picture("det", Window(300, 400), LINEAR).limits.low == 50


@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("detector", ["pilatus", "andor3_zyla10"])
def test_what_was_warmed_compiles_nothing(live, pictures, detector, is_masked):
    warm()
    loops = (pooling._max, pooling._settle, pooling._extremes)
    n_compiled = [len(loop.signatures) for loop in loops]
    dtype = np.float32 if detector == "pilatus" else np.uint16
    mask = np.eye(60, 80, dtype=bool) if is_masked else None
    show(live, frame(1).astype(dtype), detector=detector, mask=mask)
    assert pictures.picture(detector, ALL, LINEAR) is not None
    assert [len(loop.signatures) for loop in loops] == n_compiled


def test_what_takes_long_is_made_less_often():
    clock = Clock()
    aged, made = Aged(clock), []

    def make():
        made.append(clock.now)
        clock.now += 1.0
        return len(made)

    for _ in range(60):
        aged.get("key", clock.now, 0.5, make)
        clock.now += 0.5
    assert len(made) == 4
    assert made[1] - made[0] == 10
    # what has not changed is as good as new
    version = aged.get("other", "same", 0.5, make).version
    clock.now += 100
    assert aged.get("other", "same", 0.5, make).version == version
    assert len(made) == 5


def test_what_several_ask_for_at_once_is_made_once():
    once, made, begun = Once(2), [], threading.Barrier(3)

    def make():
        made.append(1)
        return object()

    results = []

    def ask():
        begun.wait()
        results.append(once.get("key", make))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert len({id(result) for result in results}) == 1


def test_what_could_not_be_made_is_tried_again_and_the_oldest_is_forgotten():
    once = Once(2)
    with pytest.raises(ZeroDivisionError):
        once.get("a", lambda: 1 / 0)
    assert [once.get(key, lambda key=key: key) for key in "abc"] == ["a", "b", "c"]
    assert once.get("c", lambda: "new") == "c"
    assert once.get("a", lambda: "new") == "new"


def test_pictures_of_before_are_not_kept(live, pictures):
    for n in range(20):
        seen(live, runs=(f"run {n}",))
        live.accumulation().configure({"accumulating": n % 2 == 0})
        for window in (ALL, Window(30, 40)):
            pictures.picture("pilatus", window, LINEAR)
    kept = (pictures._glimpses, pictures._pooled, pictures._pictures)
    # of the newest version: the look, its mask, its pixels, and what two browsers show
    assert [len(once._kept) for once in kept] == [2, 1, 2]


def test_units_are_those_of_the_entries_of_the_analysis():
    live = LiveAnalysis(detectors={"eye": DetectorSettings(kind="camera")})
    for name in ("eye", "other"):
        live.update(Shot("run", 0, 0, name, DenseFrame(np.ones((4, 5), np.uint16))))
    pictures = Pictures(live)
    for name, units in (("eye", "ADU"), ("other", "counts")):
        picture = pictures.picture(name, Window(10, 10), ColourScale())
        assert picture is not None
        assert picture.units == units
