from __future__ import annotations

from matplotlib.figure import Figure

from femto_bluesky.callbacks import DarkCollection
from femto_bluesky.console.analyses import start_analyses
from femto_bluesky.console.dark_use import tell_of
from femto_bluesky.console.devices import Devices
from femto_bluesky.console.logs import NEWS
from femto_bluesky.console.settings import BeamlineSettings
from femto_bluesky.devices.simulated import SimulatedMotor
from femto_bluesky.model.rois import Roi
from femto_bluesky.plans import burst_grid, burst_scan, collect_dark, continuous
from femto_bluesky.sources import open_catalog
from femto_bluesky.testing.runs import run_engine
from tests.profiles.prompt import SMALL


def test_a_map_is_drawn_for_two_motors_and_a_curve_for_one(tmp_path, delay, pilatus, capsys):
    settings = BeamlineSettings.model_validate({**SMALL, "directory": tmp_path})
    settings = settings.model_copy(update={"rois": {"a": Roi(x0=5, y0=5, x1=20, y1=30)}})
    catalog = open_catalog(f"lines:{tmp_path / 'lines'}")
    other = SimulatedMotor(name="other", labels={"motors"})
    with run_engine() as engine:
        engine.subscribe(catalog.writer)
        analyses = start_analyses(engine, catalog, Devices({}, {}, {}, {}), settings)
        maps = []
        analyses.derived_bec._fig_factory = lambda name: maps.append(name) or Figure()
        engine(burst_scan([pilatus], delay, 0, 1, num=2, frames=1))
        analyses.live.wait()
        assert maps == []
        assert analyses.plot.figure is not None
        engine(burst_grid([pilatus], delay, 0, 1, 2, other, 0, 1, 2, frames=1))
        analyses.live.wait()
    assert maps == ["pilatus_a_mean vs delay other"]
    out = capsys.readouterr().out
    assert "New stream" not in out.replace("New stream: 'primary'", "")
    assert out.count("pilatus_a_mean") == 2  # the heads of the two tables
    assert catalog[-1].start["plan_name"] == "burst_grid"
    assert len(catalog.derived_of(-1)) == 1
    catalog.close()


def test_it_is_told_when_darks_were_taken(pilatus, caplog):
    darks = DarkCollection()
    caplog.set_level("INFO", NEWS)
    with run_engine() as engine:
        engine.subscribe(darks)
        darks.subscribe(tell_of(darks))
        engine(collect_dark([pilatus], n=3))
        engine(continuous([pilatus], n_events=1))
        darks.wait()
    assert [record.getMessage() for record in caplog.records] == [
        "darks were taken: 3 of pilatus; use_darks() keeps them and has them used"
    ]
