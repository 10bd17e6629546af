"""The simulated beamline at a real prompt: what a scientist types in a day."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from femto_bluesky.files import xye
from femto_bluesky.sources import open_catalog
from tests.catalogs import need_a_catalog
from tests.profiles.prompt import prompt, write_settings

SCAN = "RE(burst_scan([pilatus, andor3_balor1], delay, -1, 3, num=3, frames=4, also=[beam]))"


def table(text: str) -> list[list[float]]:
    """The rows of numbers of a table that BestEffortCallback has printed, without the times."""
    rows = re.findall(r"^\|\s+\d+ \|\s+[\d:.]+ \|(.*)\|\s*$", text, re.MULTILINE)
    return [[float(cell) for cell in row.split("|")] for row in rows]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.mark.long
def test_a_day(folder: Path) -> None:
    need_a_catalog()
    settings = write_settings(folder)
    with prompt("simulated", settings) as it:
        assert re.search(r"a small one, femto_bluesky \S+, started in \d+\.\d s", it.greeting)
        assert "no windows (no display); show() writes pictures" in it.greeting
        assert "the next scan is 1" in it.greeting

        # a scan: the table, the pictures, the derived run, the photons
        printed = it.say(SCAN)
        assert "pilatus_ring_1_mean" in printed
        assert "Traceback" not in printed
        assert [row[0] for row in table(printed)] == [-1, 1, 3]
        shown = it.say("show()")
        assert "scan 1, burst_scan" in shown
        pictures = [Path(path) for path in re.findall(r"picture: (\S+)", shown)]
        assert [path.name for path in pictures] == [
            "scan_1_andor3_balor1.png", "scan_1_pilatus.png", "scan_1_step_means.png",
        ]  # fmt: skip
        assert all(path.stat().st_size > 5000 for path in pictures)
        lines = "[len(line.get_xdata()) for axes in plot.figure.axes for line in axes.lines]"
        assert it.value(f"len(plot.figure.axes), 3 in {lines}") == "(2, True)"

        assert re.match(
            r"<scan 1: burst_scan, [\d :-]+, success, 3 events, uid \w{8}>",
            it.value("catalog[-1]"),
        )
        assert it.value("catalog.derived_of(1)").startswith("[<derived of scan 1: burst_scan")
        n_photons = int(it.value("len(catalog[1].photons())"))
        assert n_photons > 10
        (file,) = (folder / "data" / "process").glob("*_xye.h5")
        assert len(xye.read(file)) == n_photons

        # regions change between runs, and the sum spans them
        it.say("move_roi('ring 1', dx=2)")
        assert "RoiNameError: there is no ROI 'ring 2'; there are: 'ring 1'" in it.say(
            "delete_roi('ring 2')"
        )
        it.say("add_roi('beside', x0=100, y0=10, x1=130, y1=90, detector='pilatus')")
        printed = it.say(SCAN)
        assert "pilatus_beside_mean" in printed
        settings_of = "catalog.derived_of(catalog[{}])[0].start['analysis']['settings']['rois']"
        of_1, of_2 = (it.value(f"{settings_of.format(n)}['ring 1']['x0']") for n in (1, 2))
        assert (of_1, of_2) == ("28", "30")
        assert "24 frames of 2 runs, adding" in it.value("start_accumulation()")
        it.say("reset_accumulation('pilatus')")
        it.say("RE(burst_scan([pilatus], delay, 0, 1, num=2, frames=2))")
        assert re.search(r"pilatus +4 frames of 1 run,", it.value("list_sums()"))
        assert re.search(r"pilatus +28 frames of 3 runs,", it.value("undo_reset('pilatus')"))

        # a replay gives the same
        it.say("again = LiveAnalysis(live.rois.settings.rois); replay(catalog[2], again)")
        same = "all((live.result(catalog[2].uid).steps[k] == v).all() for k, v in again.result()"
        assert it.value(f"{same}.steps.items())") == "True"
        assert it.value("catalog.writer.wait(100)") == "True"
        assert it.leave().strip() == "exit"

    # numbers go on after a restart, and nothing was left behind at the exit
    assert not list((folder / "data" / "catalog" / "waiting").iterdir())
    with prompt("simulated", settings) as it:
        assert "the next scan is 4" in it.greeting
        assert it.value("catalog.take_in(100)") == "True"
        with prompt("simulated", settings) as other:
            greeting = " ".join(other.greeting.split())  # it is wrapped
            assert "NO CATALOG: the catalog in" in greeting
            assert "one process at a time can have it" in greeting
            lines = folder / "data" / "lines"
            assert f"femto-bluesky upload {lines} --to catalog:" in other.greeting
            other.say("RE(continuous([pilatus], 2, n_events=2))")
            assert other.value("catalog[-1].start['scan_id']") == "4"
            other.leave()
        it.say("RE(continuous([pilatus], 2, n_events=1))")
        assert it.value("catalog[-1].start['scan_id']") == "5"


@pytest.fixture
def lines_settings(folder: Path) -> Path:
    """Settings without a database, which takes seconds to make."""
    return write_settings(folder, catalog=f"lines:{folder / 'data' / 'lines'}")


def test_a_run_is_paused_and_goes_on(lines_settings: Path) -> None:
    row = r"\|\s+\d+ \|[^\n]*\n"
    with prompt("simulated", lines_settings) as it:
        it.child.sendline("RE(continuous([pilatus], 3))")
        it.child.expect(row)
        told = it.interrupt()
        assert "'deferred pause' has been requested" in told
        assert "RE.resume()    Resume the plan." in told
        assert "Traceback" not in told
        assert it.value("RE") == "<RunEngine: paused, last scan 1>"
        it.child.sendline("RE.resume()")
        it.child.expect(row)
        it.interrupt()
        it.say("RE.stop()")
        assert it.value("catalog[-1].stop['exit_status']") == "'success'"
        derived = "catalog.derived_of(-1)[0].stop"
        assert it.value(f"{derived}['exit_status']") == "'success'"
        assert it.value("catalog[-1].stop['num_events']['primary'] >= 2") == "True"
        assert "scan 1, continuous" in it.say("show()")

        # left while it is paused
        it.child.sendline("RE(continuous([pilatus], 3))")
        it.child.expect(row)
        it.interrupt()
        assert it.value("RE.state") == "'paused'"
        assert "A scan is paused; it is stopped now, as RE.stop() does" in it.leave()
    lines = lines_settings.parent / "data" / "lines"
    assert not list((lines / "waiting").iterdir())
    with open_catalog(lines) as catalog:
        left = catalog[2]
        assert [run.stop["exit_status"] for run in (left, *left.derived())] == ["success"] * 2


def test_what_goes_wrong_is_told_in_words(lines_settings: Path) -> None:
    with prompt("simulated", lines_settings) as it:
        told = it.say("RE(burst_scan(pilatus, delay, -1, 3, num=3, frames=4))")
        assert "PlanError: detectors is 'pilatus', expected a list of detectors; write [pil" in told
        assert "Traceback" not in told
        log = re.search(r"the traceback is in (\S+)\)", told)
        assert log
        assert "PlanError" in Path(log[1]).read_text()

        # a region that the frames do not have is left out; a camera that fails recovers
        it.say("add_roi('far', x0=1000, y0=0, x1=1100, y1=50)")
        told = it.say("RE(burst_scan([pilatus], delay, -1, 3, num=2, frames=2))")
        assert "ROI 'far' (x 1000..1100, y 0..50) reaches outside the frames of 'pilatus'" in told
        assert "pilatus_ring_1_mean" in told
        assert "Traceback" not in told
        it.say("delete_roi('far')")
        it.say("pilatus.ioc.before_burst = lambda number: 1 / 0")
        told = it.say("RE(burst_scan([pilatus], delay, -1, 3, num=2, frames=2))")
        assert "DetectorError: pilatus: the camera has stopped and no frame is in" in told
        assert "Traceback" not in told
        it.say("pilatus.ioc.before_burst = lambda number: None")
        it.say("witness.forgive()")

        # darks, and a run without raw frames
        it.say("RE(collect_dark([andor3_balor1], n=5, shutter=shutter))")
        assert re.match(
            r"andor3_balor1: level 100\.\d ADU, \d+ hot pixels", it.value("use_darks()")
        )
        it.say("andor3_balor1.save_raw.put(False)")
        it.say("RE(burst_scan([andor3_balor1], delay, -1, 3, num=2, frames=2))")
        assert it.value("catalog[-1].start['raw_frames_not_kept']") == "['andor3_balor1']"
        raw = lines_settings.parent / "data" / "raw"
        assert len(list(raw.glob("andor3_balor1*.h5"))) == 1  # the darks
        assert it.value("len(catalog[-1].photons()) > 0") == "True"

        assert "Traceback" in it.say("1 / 0")  # all else is as ever
        assert "Add a region: columns x0 to x1" in it.say("add_roi?")


def test_settings_that_are_wrong_are_named(folder: Path) -> None:
    settings = write_settings(folder, simulation={"cameras": {}, "motors": ["de lay"]}, rio={})
    with prompt("simulated", settings) as it:
        assert "Traceback" not in it.greeting
        assert f"SettingsFileError: {settings}: " in it.greeting
        assert "rio: Extra inputs are not permitted" in it.greeting
        assert "'de lay' cannot be typed as a name at the prompt" in it.greeting
