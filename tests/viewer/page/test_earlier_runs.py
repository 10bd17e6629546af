"""Which run is the newest, and what the others are called."""

from __future__ import annotations

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.viewer.hub import Hub
from femto_bluesky.viewer.page.earlier_runs import NEWEST, EarlierRuns
from femto_bluesky.viewer.snapshots import Snapshots
from tests.viewer.browser.beam import POWDER_GEOMETRY, Beam, photons, powder


def looked(hub: Hub) -> EarlierRuns:
    hub.snapshots.forget()
    hub.groups = hub.snapshots.curves()
    return EarlierRuns(hub)


def test_a_recording_that_is_replayed_later_is_the_newest(hub: Hub) -> None:
    hub.live.configure({"geometries": {"pilatus": POWDER_GEOMETRY}})
    Beam(hub.live).scan([1.0, 2.0])
    replayed = Beam(hub.live)
    replayed.begin(scan_id=77)
    for position in (5.0, 6.0):
        replayed.shot(position, seconds_ago=1e7)
    found = looked(hub).found(NEWEST)
    assert found.name == "scan 77"
    by_path = {group.path: group for group in found.groups}
    assert by_path["step_means/pilatus_ROI_2"].axes[0].values.tolist() == [5.0, 6.0]
    assert by_path["azimuthal/pilatus"].attributes["n_frames"] == 2


def test_a_run_without_the_detector_has_none_of_its_photons(hub: Hub) -> None:
    live = LiveAnalysis(hub.live.rois.settings.rois, photon_files=False)
    snapshots = Snapshots(live)
    Beam(live, {"andor3_balor": photons()}).scan()
    assert any("photons" in group.path for group in snapshots.curves())
    Beam(live).scan()
    snapshots.forget()
    paths = [group.path for group in snapshots.curves()]
    assert paths
    assert [path for path in paths if "balor" in path] == []
    snapshots.close()


def test_the_sum_keeps_its_curve_while_another_detector_is_scanned(hub: Hub) -> None:
    hub.live.configure({"geometries": {"pilatus": POWDER_GEOMETRY}})
    Beam(hub.live).scan()
    Beam(hub.live, {"other": powder()}).scan()
    paths = [group.path for group in looked(hub).found(NEWEST).groups]
    assert [path for path in paths if "azimuthal" in path] == ["azimuthal/pilatus_accumulated"]


def test_runs_of_one_number_can_be_told_apart(hub: Hub) -> None:
    plans = ("scan", "grid", "scan")
    uids = [Beam(hub.live).scan(plan_name=plan) for plan in plans]
    runs = looked(hub)
    assert sorted(runs.choices().values()) == sorted(uids)
    numbers = runs.numbers(uids)
    assert list(numbers.values()) == uids
    assert list(numbers) == ["1", f"1 ({uids[1][:6]})", f"1 ({uids[2][:6]})"]
    assert runs.numbers(["gone"]) == {}
