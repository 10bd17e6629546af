"""Many runs in this process: groups, runs that break, and the bits of a replay."""

from __future__ import annotations

import itertools
from pathlib import Path

import h5py
import pytest

from femto_bluesky.model.geometry import Geometry
from femto_bluesky.reprocess import GroupByError, reprocess
from femto_bluesky.sources import jsonl
from femto_bluesky.testing.documents import difference
from femto_bluesky.testing.laws import given_out
from tests.reprocess.made_runs import SHAPE, Own, a_run, pipeline, straight
from tests.stream.scans import SITUATIONS, Seen, run_scan

GEOMETRY = Geometry(energy_kev=8.0, distance_m=0.1, x0_px=12.0, y0_px=10.0, pixel_size_m=172e-6)


def assert_as_replayed(make, runs, **how):
    """One group of all runs is what a replay of them gives; the result."""
    expected, shots = straight(make, runs)
    done = reprocess(runs, make(), workers=1, **how)
    assert not done.broken
    (group,) = done.groups
    assert difference(expected, given_out(group.analysis, shots)) is None
    assert {uid: list(n) for uid, n in group.shots.items()} == {
        uid: sorted({s.number for s in shots if s.run == uid}) for uid in group.runs
    }
    assert group.n_shots == done.n_shots == len({(s.run, s.number) for s in shots})
    return done


@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize("size", [4, None])
def test_one_process_gives_what_a_replay_gives(tmp_path, inline, size):
    runs = [list(a_run(tmp_path, n, inline=inline)) for n in range(3)]
    done = assert_as_replayed(pipeline, runs, frames_per_piece=size)
    assert [info.scan_id for info in done.runs] == [0, 1, 2]
    assert (done.n_workers, done.n_shots) == (1, 45)
    assert done.groups[0].name == "all"


def test_several_detectors_i_of_q_and_photons(tmp_path):
    names = ("pilatus", "andor3_zyla10", "andor3_balor")
    runs = [list(a_run(tmp_path, n, detectors=names)) for n in range(2)]
    assert_as_replayed(
        lambda: pipeline(geometries=GEOMETRY, photon_files=False), runs, frames_per_piece=4
    )


STYLES = ("inline", "datum", "stream", "tiff")
SOME = (
    ("rewind", "stream"), ("deep rewind", "tiff"), ("changing bursts", "datum"),
    ("two detectors", "inline"), ("single frames", "stream"), ("stop", "datum"),
)  # fmt: skip
ALL = itertools.product((*SITUATIONS, "never stopped"), STYLES)


@pytest.mark.parametrize(
    ("situation", "style"),
    [*SOME, *(pytest.param(*each, marks=pytest.mark.long) for each in ALL if each not in SOME)],
)
def test_scans_of_the_run_engine(tmp_path, situation, style):
    scan = run_scan(situation, style, tmp_path)
    done = reprocess([scan.documents], Seen(), workers=1, frames_per_piece=2)
    assert not done.broken
    assert done.groups[0].analysis.result() == scan.truth()
    ((uid, numbers),) = done.groups[0].shots.items()
    assert list(numbers) == sorted({n for of, n, _ in done.groups[0].analysis.shots if of == uid})


def test_groups_by_motor_label_run_and_start(tmp_path):
    runs = [list(a_run(tmp_path, n)) for n in range(3)]
    straight_on, _ = straight(Own, runs)
    by_delay = reprocess(runs, Own(), workers=1, group_by="delay")
    assert [group.name for group in by_delay.groups] == ["delay=0", "delay=0.5", "delay=1"]
    assert [group.values for group in by_delay.groups] == [{"delay": d} for d in (0.0, 0.5, 1.0)]
    together = {}
    for group in by_delay.groups:
        together |= group.analysis.result()
        assert list(group.runs) == ["0000-run", "0001-run", "0002-run"]
        assert group.n_shots == 15
    assert together == straight_on["result"]
    assert list(by_delay.groups[1].shots["0001-run"]) == [5, 6, 7, 8, 9]
    by_laser = reprocess(runs, Own(), workers=1, group_by="laser")
    assert [group.name for group in by_laser.groups] == ["laser=0", "laser=1"]
    assert list(by_laser.groups[1].shots["0000-run"]) == [1, 3, 5, 7, 9, 11, 13]
    by_sample = reprocess(runs, Own(), workers=1, group_by="start.sample.name")
    assert [(g.name, list(g.runs)) for g in by_sample.groups] == [
        ("sample.name=LaB6", ["0000-run", "0002-run"]), ("sample.name=Si", ["0001-run"]),
    ]  # fmt: skip
    by_run = reprocess(runs[::-1], Own(), workers=1, group_by="run")
    assert [g.values for g in by_run.groups] == [{"run": f"000{n}-run"} for n in (2, 1, 0)]


def test_runs_that_are_broken_are_named_and_nothing_of_them_counts(tmp_path):
    runs = [list(a_run(tmp_path, n, compressed=n == 3)) for n in range(8)]
    good, _ = straight(Own, [runs[0], runs[7]])
    (tmp_path / "0001_pilatus.h5").unlink()
    with h5py.File(tmp_path / "0002_pilatus.h5", "r+") as file:
        data = file["data"][:12]  # the last three frames have been lost
        del file["data"]
        file["data"] = data
    damage(tmp_path / "0003_pilatus.h5", frame=7)
    runs[4] = [pair for pair in runs[4] if pair[0] not in ("event", "stream_datum")]
    runs[5] = list(a_run(tmp_path, 50, shape=(SHAPE[0] + 1, SHAPE[1])))
    runs[6] = tmp_path / "nothing.jsonl"
    runs.append(runs[0])  # once more
    done = reprocess(runs, Own(), workers=1, frames_per_piece=4)
    assert [info.scan_id for info in done.runs] == [0, 7]
    assert done.groups[0].analysis.result() == good["result"]
    assert done.n_shots == 30
    reasons = {(b.run and b.run.scan_id, b.source): b.reason for b in done.broken}
    told = {scan: reason for (scan, _), reason in reasons.items()}
    assert "no such file" in told[1]
    assert "needs the frames 10 to 14, found 12" in told[2]
    assert "frame 7 of 'data' is not readable" in told[3]
    assert "no frames in the stream 'primary'" in told[4]
    assert "found 25x32 frames of 'pilatus', expected 24x32" in told[50]
    assert "nothing.jsonl" in told[None]
    assert "given before" in told[0]
    assert len(done.broken) == 7


def damage(path: Path, frame: int) -> None:
    """Overwrite the chunk of a frame."""
    with h5py.File(path, "r") as file:
        at = file["data"].id.get_chunk_info(frame)
    with path.open("r+b") as raw:
        raw.seek(at.byte_offset)
        raw.write(bytes(at.size))


def test_a_shot_that_the_analysis_cannot_bear_breaks_its_run(tmp_path):
    runs = [list(a_run(tmp_path, n, delays=[0.0] * (n + 1))) for n in range(3)]
    expected, _ = straight(Own, runs[:2])
    done = reprocess(runs, Own(worst=12), workers=1, frames_per_piece=4)
    assert done.groups[0].analysis.result() == expected["result"]
    (broken,) = done.broken
    assert broken.run.uid == "0002-run"
    assert broken.reason == "ValueError: shot 12 is not to be borne"


def test_an_aborted_run_whose_frames_are_there_counts(tmp_path):
    run = list(a_run(tmp_path))
    run[-1] = ("stop", run[-1][1] | {"exit_status": "abort", "reason": "beam lost"})
    (info,) = reprocess([run, list(a_run(tmp_path, 1))[:-1]][:1], Own(), workers=1).runs
    assert (info.exit_status, info.reason) == ("abort", "beam lost")
    (info,) = reprocess([list(a_run(tmp_path, 1))[:-1]], Own(), workers=1).runs
    assert info.exit_status == "fail"


def test_what_cannot_be_grouped_by_is_told(tmp_path):
    (broken,) = reprocess([list(a_run(tmp_path))], Own(), workers=1, group_by="dealy").broken
    assert "no 'dealy' to group by: found ['delay', 'laser']" in broken.reason
    (broken,) = reprocess([list(a_run(tmp_path))], Own(), workers=1, group_by="start.x").broken
    assert "start document has no 'x'" in broken.reason
    with pytest.raises(GroupByError, match="expected a number above 0"):
        reprocess([], Own(), workers=1, group_by="delay:no")


def test_a_path_alone_json_lines_and_moved_files(tmp_path):
    lines = tmp_path / "run.jsonl"
    run = list(a_run(tmp_path))
    jsonl.write(run, lines)
    expected, _ = straight(Own, [run])
    assert reprocess(lines, Own(), workers=1).groups[0].analysis.result() == expected["result"]
    new = tmp_path / "new"
    new.mkdir()
    (tmp_path / "0000_pilatus.h5").rename(new / "0000_pilatus.h5")
    done = reprocess(run, Own(), workers=1, path_map={str(tmp_path): str(new)})
    assert done.groups[0].analysis.result() == expected["result"]
    assert done.runs[0].source == "documents"


def test_groups_are_handed_out_and_forgotten(tmp_path):
    runs = [list(a_run(tmp_path, n)) for n in range(3)]
    seen = []
    done = reprocess(runs, Own(), workers=1, group_by="delay", on_group=seen.append)
    assert [group.name for group in seen] == ["delay=0", "delay=0.5", "delay=1"]
    assert done.groups == []


def test_what_is_kept_of_pieces_comes_back_in_the_order_of_the_shots(tmp_path):
    runs = [list(a_run(tmp_path, n)) for n in range(2)]
    done = reprocess(runs, Own(), workers=1, frames_per_piece=4, parts=Counting())
    assert done.groups[0].parts["0001-run"] == [[0, 3], [4, 7], [8, 11], [12, 14]]
    done = reprocess(runs, Own(), workers=1, parts=Counting(), group_by="laser")
    assert [n for held in done.groups[1].parts["0000-run"] for n in held] == [1, 13]


class Counting:
    """Keeps the first and the last number of the shots of a piece."""

    def begin(self, piece):
        return Counted()


class Counted:
    def __init__(self):
        self.numbers = []

    def take(self, handed_on, burst, index):
        assert burst.source is not None
        self.numbers.append(handed_on.number)

    def end(self):
        return [self.numbers[0], self.numbers[-1]]

    def abandon(self):
        self.numbers = []
