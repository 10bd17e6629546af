"""What is found fast is what going through everything finds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from femto_bluesky.stream.events import Burst, ImageKey
from femto_bluesky.stream.ranges import Announced, FrameRange, Given

spans = st.lists(st.tuples(st.integers(1, 20), st.sampled_from([1, 1, 1, 2, 5])), max_size=12)
IMAGE = ImageKey("cam_image", "cam", 1, None, None, is_streamed=True)


def frame_ranges(spans):
    return [
        FrameRange("r", index, length, first, first + length)
        for index, (first, length) in enumerate(spans)
    ]


@given(spans=st.one_of(spans, spans.map(sorted)), floor=st.integers(0, 25))
def test_the_newest_range_counts(spans, floor):
    found = frame_ranges(spans)
    announced = Announced()
    for one in found:
        announced.add(one)
    for drop_before in (0, floor):
        announced.drop_before(drop_before)
        for seq_num in range(drop_before, 27):
            naming = [r for r in found if r.first <= seq_num < r.last]
            assert sorted(announced.naming(seq_num), key=lambda r: r.index) in (naming, naming[-1:])
            assert announced.newest(seq_num) is (naming[-1] if naming else None)
    assert announced.n_came == len(found)
    assert announced.n_bursts == sum(r.n_bursts for r in found)


@given(spans=spans)
def test_every_range_of_an_event_is_found(spans):
    found = frame_ranges(spans)
    announced = Announced()
    for one in found:
        announced.add(one)
    assert sorted(announced, key=lambda r: r.index) == found
    for seq_num in range(27):
        naming = [r for r in found if r.first <= seq_num < r.last]
        assert sorted(announced.naming(seq_num), key=lambda r: r.index) == naming


def test_old_ranges_go_the_oldest_first():
    announced = Announced()
    for one in frame_ranges([(n, 1) for n in range(1, 11)] + [(11, 5), (16, 5)]):
        announced.add(one)
    announced.drop_before(16)
    assert [r.first for r in announced] == [16]
    assert announced.n_came == 12


def test_what_is_taken_of_a_range_is_noted():
    for first, last in ((3, 4), (3, 9)):
        one = FrameRange("r", 0, last - first, first, last)
        assert 3 not in one.taken
        one.take(3)
        assert 3 in one.taken
        assert 4 not in one.taken


class File:
    """A source of frames that is never read."""


@given(
    parts=st.lists(
        st.tuples(st.integers(0, 12), st.integers(0, 4), st.booleans(), st.booleans()), max_size=25
    )
)
def test_a_shared_frame_is_found_where_there_is_one(parts):
    files = [File(), File()]
    kept, held = Given(), {}
    for seq_num, (start, length, is_first, is_removed) in enumerate(parts):
        burst = Burst(IMAGE, files[is_first], start, start + length)
        sharing = {
            (one.start, one.stop, number)
            for number, one in held.items()
            if one.source is burst.source and start < one.stop and one.start < burst.stop
        }
        found = kept.other(burst)
        assert found in sharing if sharing else found is None
        if not sharing:
            held[seq_num] = burst
            kept.add(seq_num, [burst])
        if is_removed and held:
            number, one = held.popitem()
            kept.remove(number, [one])
    for number, one in held.items():
        kept.remove(number, [one])
    assert not kept._spans
