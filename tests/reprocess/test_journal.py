"""Work that was broken off goes on where it stopped, and is refused where it is another."""

from __future__ import annotations

import hashlib
import json
import os
import pickle

import pytest

from femto_bluesky.callbacks import CmosCleaning
from femto_bluesky.model.geometry import Geometry
from femto_bluesky.reprocess import ReprocessError, reprocess
from femto_bluesky.reprocess import journal as journals
from femto_bluesky.reprocess.folding import Partial
from femto_bluesky.reprocess.kept_states import StateError, read_state
from femto_bluesky.reprocess.pieces import Span
from femto_bluesky.testing.documents import difference
from femto_bluesky.testing.laws import given_out
from tests.reprocess.made_runs import Own, a_run, pipeline, straight

SEEN = []


class Watched(Own):
    """Tells which shots it is shown, and is broken off at one."""

    off_at = None

    def update(self, shot):
        if (shot.run, shot.number) == type(self).off_at:
            raise KeyboardInterrupt
        SEEN.append((shot.run, shot.number))
        return super().update(shot)


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Everything is kept as soon as it is there."""
    monkeypatch.setattr(journals, "EVERY_S", 0.0)
    monkeypatch.setattr(journals, "SHARE", 0)
    monkeypatch.setattr(Watched, "off_at", None)
    SEEN.clear()


def broken_off(monkeypatch, at, runs, out, **how):
    monkeypatch.setattr(Watched, "off_at", at)
    with pytest.raises(KeyboardInterrupt):
        reprocess(runs, Watched(), workers=1, out=out, **how)
    monkeypatch.setattr(Watched, "off_at", None)
    seen = list(SEEN)
    SEEN.clear()
    return seen


@pytest.mark.parametrize("at", [("0000-run", 7), ("0001-run", 2), ("0002-run", 14)])
def test_one_group_goes_on_with_what_was_kept(tmp_path, monkeypatch, at):
    runs = [list(a_run(tmp_path, n)) for n in range(3)]
    expected, _ = straight(Own, runs)
    before = broken_off(monkeypatch, at, runs, tmp_path / "out", frames_per_piece=3)
    done = reprocess(runs, Watched(), workers=1, out=tmp_path / "out", frames_per_piece=5)
    assert done.groups[0].analysis.result() == expected["result"]
    twice = set(before) & set(SEEN)
    assert len(twice) <= 3, "more than the piece that was in work was done again"
    assert len({*before, *SEEN}) == 45


def test_groups_that_are_finished_are_not_done_again(tmp_path, monkeypatch):
    runs = [list(a_run(tmp_path, n)) for n in range(3)]

    def on_group(group):
        handed.append(group.name)
        return {"n": group.n_shots}

    handed = []
    how = {"group_by": "run", "on_group": on_group}
    broken_off(monkeypatch, ("0002-run", 3), runs, tmp_path / "out", **how)
    assert handed == ["run=0000-run", "run=0001-run"]
    done = reprocess(runs, Watched(), workers=1, out=tmp_path / "out", **how)
    assert handed == ["run=0000-run", "run=0001-run", "run=0002-run"]
    assert done.finished_before == handed[:2]
    assert done.told == {name: {"n": 15} for name in handed}
    assert {run for run, _ in SEEN} == {"0002-run"}
    SEEN.clear()
    again = reprocess(runs, Watched(), workers=1, out=tmp_path / "out", **how)
    assert (again.told, again.finished_before, SEEN) == (done.told, handed, [])
    reprocess(runs, Watched(), workers=1, out=tmp_path / "out", restart=True, **how)
    assert len(SEEN) == 45
    assert not list((tmp_path / "out" / journals.FOLDER).glob("state-*"))


def test_groups_that_wait_for_their_runs_are_kept(tmp_path, monkeypatch):
    runs = [list(a_run(tmp_path, n)) for n in range(2)]
    how = {"group_by": "delay", "on_group": lambda group: sum(group.analysis.result().values())}
    before = broken_off(monkeypatch, ("0001-run", 14), runs, tmp_path / "out", **how)
    done = reprocess(runs, Watched(), workers=1, out=tmp_path / "out", **how)
    assert len(before) == 29
    assert not done.finished_before
    assert set(SEEN) <= {(f"000{n}-run", shot) for n in range(2) for shot in range(10, 15)}
    expected, _ = straight(Own, runs)
    assert done.told["delay=0"] == expected["result"][0.0]


def test_a_broken_run_stays_broken(tmp_path, monkeypatch):
    runs = [list(a_run(tmp_path, n)) for n in range(3)]
    monkeypatch.setattr(Watched, "off_at", ("0002-run", 14))
    with pytest.raises(KeyboardInterrupt):
        reprocess(runs, Worse(), workers=1, out=tmp_path / "out", retries=0)
    monkeypatch.setattr(Watched, "off_at", None)
    monkeypatch.setattr(Worse, "is_bad", False)
    done = reprocess(runs, Worse(), workers=1, out=tmp_path / "out", retries=0)
    assert [(b.run.uid, b.reason) for b in done.broken] == [("0001-run", "ValueError: bad")]
    assert list(done.groups[0].runs) == ["0000-run", "0002-run"]


class Worse(Watched):
    is_bad = True

    def update(self, shot):
        if self.is_bad and (shot.run, shot.number) == ("0001-run", 3):
            raise ValueError("bad")
        return super().update(shot)


def test_other_work_is_refused(tmp_path):
    runs = [list(a_run(tmp_path, n)) for n in range(2)]
    out = tmp_path / "out"
    reprocess(runs, Own(), workers=1, out=out)
    for other in (
        {"runs": runs[:1], "analysis": Own()},
        {"runs": runs, "analysis": Own(worst=99)},
        {"runs": runs, "analysis": Own(), "group_by": "delay"},
        {"runs": runs, "analysis": CmosCleaning()},
    ):
        with pytest.raises(ReprocessError, match=r"begun with other runs, settings, .*restart"):
            reprocess(**other, workers=1, out=out)
    reprocess(runs, Own(worst=99), workers=1, out=out, restart=True)


def test_a_journal_that_was_cut_off_and_states_that_are_damaged(tmp_path, monkeypatch, caplog):
    runs = [list(a_run(tmp_path, n)) for n in range(2)]
    expected, _ = straight(Own, runs)
    out = tmp_path / "out"
    for harm in ("line", "bytes", "missing"):
        broken_off(monkeypatch, ("0001-run", 9), runs, out, frames_per_piece=4, restart=True)
        states = list((out / journals.FOLDER).glob("state-*.pickle"))
        if harm == "line":
            with (out / journals.FOLDER / "journal.jsonl").open("a") as file:
                file.write('{"kept": "state-')
        elif harm == "bytes":
            for state in states:
                state.write_bytes(state.read_bytes()[:-9] + bytes(9))
        else:
            for state in states:
                state.unlink()
        done = reprocess(runs, Watched(), workers=1, out=out)
        assert done.groups[0].analysis.result() == expected["result"]
        assert (len(SEEN) == 30) == (harm != "line")
        assert ("has changed since it was written" in caplog.text) == (harm != "line")
        SEEN.clear()


def test_two_processes_do_not_share_a_folder(tmp_path):
    held = journals.HeldDirectory(tmp_path / journals.FOLDER)
    held.hold()
    with pytest.raises(ReprocessError, match="another process works in"):
        reprocess([list(a_run(tmp_path))], Own(), workers=1, out=tmp_path)
    held.let_go()


def test_what_on_group_returns_must_be_plain(tmp_path):
    with pytest.raises(TypeError, match=r"on_group has returned .*expected nothing, or plain data"):
        reprocess(
            [list(a_run(tmp_path))], Own(), workers=1, out=tmp_path, on_group=lambda group: group
        )


# --- states in files --------------------------------------------------------------------------


def written(path, value):
    content = pickle.dumps(value)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def test_states_of_the_pipeline_are_read_as_they_were_written(tmp_path):
    geometry = Geometry(energy_kev=8.0, distance_m=0.1, x0_px=12.0, y0_px=10.0, pixel_size_m=172e-6)
    names = ("pilatus", "andor3_balor")
    runs = [list(a_run(tmp_path, 0, detectors=names))]
    expected, shots = straight(lambda: pipeline(geometries=geometry), runs)
    group = reprocess(runs, pipeline(geometries=geometry), workers=1).groups[0]
    partial = Partial(group.analysis, frozenset({Span(0, "0000-run", 0, 15)}))
    digest = written(tmp_path / "state", partial)
    found = read_state(tmp_path / "state", digest, pipeline())
    assert found.spans == partial.spans
    assert difference(expected, given_out(found.analysis, shots)) is None


class Evil:
    """Runs a program when it is read."""

    def __reduce__(self):
        return os.system, ("touch /tmp/evil-was-here",)


class Sly:
    """Calls a function of the package when it is read."""

    def __reduce__(self):
        from femto_bluesky.sources.jsonl import write

        return write, ([], "sly.jsonl")


def test_states_are_read_as_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for value, told in (
        (Partial(Evil(), frozenset()), r"posix\.system"),
        (Partial(Sly(), frozenset()), r"femto_bluesky\.sources\.jsonl\.write"),
        (Partial(pipeline(), frozenset()), "another kind of thing"),
        ({"a": 1}, "another kind of thing"),
    ):
        digest = written(tmp_path / "state", value)
        with pytest.raises(StateError, match=told):
            read_state(tmp_path / "state", digest, Own())
    assert not (tmp_path / "sly.jsonl").exists()
    (tmp_path / "state").write_bytes(b"nonsense")
    with pytest.raises(StateError, match="cannot be read"):
        read_state(tmp_path / "state", hashlib.sha256(b"nonsense").hexdigest(), Own())


def test_the_journal_is_lines_that_people_can_read(tmp_path, monkeypatch):
    monkeypatch.setattr(journals, "EVERY_S", 60.0)
    reprocess([list(a_run(tmp_path))], Own(), workers=1, out=tmp_path, on_group=lambda group: 1)
    lines = (tmp_path / journals.FOLDER / "journal.jsonl").read_text().splitlines()
    assert [list(json.loads(line)) for line in lines] == [["fingerprint"], ["group", "told"]]
