from __future__ import annotations

import logging

import pytest

from femto_bluesky.callbacks import LiveAnalysis, RoiMeans
from femto_bluesky.console.banner import age_of_process_s, banner, commands
from femto_bluesky.console.devices import Devices
from femto_bluesky.console.logs import NEWS, log_at_the_prompt
from femto_bluesky.console.opened_catalog import OpenedCatalog
from femto_bluesky.console.page import Page
from femto_bluesky.console.settings import BeamlineSettings, PageSettings
from femto_bluesky.console.shell import close_before_exit, describe_live, describe_run
from femto_bluesky.model.rois import Roi
from femto_bluesky.sources import open_catalog
from femto_bluesky.sources.catalogs import Run
from tests.profiles.prompt import SMALL


class Shell:
    def __init__(self):
        self.has_left = False

    def ask_exit(self):
        self.has_left = True


def test_the_catalog_is_closed_before_the_prompt_is_left():
    shell, states = Shell(), []
    close_before_exit(shell, lambda: states.append(shell.has_left))
    shell.ask_exit()
    assert (states, shell.has_left) == ([False], True)


def test_a_catalog_that_cannot_be_closed_keeps_nobody():
    def fail():
        raise OSError("disk")

    shell = Shell()
    close_before_exit(shell, fail)
    with pytest.raises(OSError, match="disk"):
        shell.ask_exit()
    assert shell.has_left


def test_a_run_and_an_analysis_are_a_line_each():
    start = {"uid": "0123456789", "time": 0.0, "scan_id": 7, "plan_name": "burst_scan"}
    stop = {"exit_status": "abort", "num_events": {"primary": 3}}
    told = describe_run(Run(start=start, stop=stop, where="", read=lambda: iter(())))
    assert told.startswith("<scan 7: burst_scan, 19")
    assert told.endswith(", abort, 3 events, uid 01234567>")
    told = describe_run(Run(start=start, stop=None, where="", read=lambda: iter(())))
    assert ", not stopped, 0 events" in told
    live = LiveAnalysis({"ring 3": Roi(x0=0, y0=0, x1=1, y1=1)})
    assert describe_live(live) == "<LiveAnalysis: ROIs 'ring 3'; frames from none so far>"


@pytest.fixture
def root():
    """The root logger, whose handlers and levels are put back."""
    root = logging.getLogger()
    ours = [root, *map(logging.getLogger, ("femto_bluesky", "bluesky", "ophyd"))]
    before = [logger.level for logger in ours]
    handlers = list(root.handlers)
    yield root
    for handler in set(root.handlers) - set(handlers):
        root.removeHandler(handler)
        handler.close()
    for logger, level in zip(ours, before, strict=True):
        logger.setLevel(level)


def test_tracebacks_go_into_the_log_and_words_to_the_prompt(root, tmp_path, capsys):
    file = tmp_path / "log" / "console.log"
    assert log_at_the_prompt(file) == str(file)
    try:
        raise ValueError("the words")
    except ValueError:
        logging.getLogger("femto_bluesky.x").exception("it failed")
        logging.getLogger("bluesky").exception("Run aborted")
    logging.getLogger("femto_bluesky.x").info("a detail")
    logging.getLogger(NEWS).info("news")
    RoiMeans({"a": Roi(x0=0, y0=0, x1=1, y1=1, detector="pilatus")}).outputs(["andor3_zyla12"])
    assert capsys.readouterr().err == "it failed: ValueError: the words\nnews\n"
    logged = file.read_text()
    assert "Traceback" in logged
    assert "Run aborted" in logged
    assert "a detail" in logged
    assert "ROI 'a' is on the detector 'pilatus', which this run does not have" in logged


def test_a_log_that_cannot_be_written_is_named(root, tmp_path):
    (tmp_path / "log").write_text("in the way")
    said = log_at_the_prompt(tmp_path / "log" / "console.log")
    assert said.startswith("no file: ")
    assert said.endswith("File exists")


def test_the_banner_says_what_there_is_and_what_is_not(tmp_path):
    def gone():
        raise TimeoutError("nothing at P:")

    settings = BeamlineSettings.model_validate({**SMALL, "directory": tmp_path})
    devices = Devices({"cam": gone, "pilatus": object}, {"delay": object}, {}, {}).connect()
    opened = OpenedCatalog(open_catalog(f"lines:{tmp_path}"), "it is locked")
    page = Page(LiveAnalysis(), PageSettings(host="0.0.0.0", port=0))
    text = banner(
        settings, devices, opened,
        next_scan=8, plots="in windows", page=page, log="a.log", started_s=3.21,
    )  # fmt: skip
    where, also = text.split("  page     ")[1].splitlines()[:2]
    assert where.startswith("http://")
    assert where.endswith("  to watch and change")
    assert also.startswith(f"{' ' * 11}http://")
    assert text.startswith("a small one, femto_bluesky ")
    for words in (
        ", started in 3.2 s", "cameras  cam, pilatus", "the next scan is 8", "plots    in windows",
        "NO ANSWER from cam: nothing at P:", "NO CATALOG: it is locked",
        "RE(burst_scan([pilatus], delay, -2, 6, num=9, frames=10))",
    ):  # fmt: skip
        assert words in text
    assert max(map(len, commands(devices.cameras, ["delay"], ["beam", "shutter"]))) < 98


def test_what_to_type_is_made_of_what_there_is():
    lines = commands(["cam", "andor3_balor1"], ["delay"], ["shutter"])
    assert lines[:4] == [
        "RE(burst_scan([cam], delay, -2, 6, num=9, frames=10))",
        "RE(burst_grid([cam], delay, 0, 1, 3, frames=5))",
        "RE(collect_dark([andor3_balor1], n=20, shutter=shutter)); use_darks()",
        "RE(continuous([cam], 10, n_events=3))  # without n_events: until Ctrl-C",
    ]
    # a camera that is not in the table needs its pixel size
    assert any("x0_px=210, y0_px=373, pixel_size_m=1e-5)" in line for line in lines)
    few = commands(["pilatus"], [], [])
    assert few[:2] == [
        "RE(collect_dark([pilatus], n=20)); use_darks()",
        "RE(continuous([pilatus], 10, n_events=3))  # without n_events: until Ctrl-C",
    ]


def test_a_problem_is_wrapped_between_words_and_a_command_stands_whole(tmp_path):
    settings = BeamlineSettings.model_validate({**SMALL, "directory": tmp_path})
    devices = Devices({"pilatus": object}, {}, {}, {}).connect()
    command = f"femto-bluesky upload {'/long' * 30} --to catalog:x"
    problem = f"{'words and words ' * 12}\nbring them in later: {command}"
    opened = OpenedCatalog(open_catalog(f"lines:{tmp_path}"), problem)
    page = Page(LiveAnalysis(), None)
    text = banner(settings, devices, opened, next_scan=8, plots="", page=page, log="", started_s=1)
    assert "page     none: the settings want none; live.serve() begins one" in text
    lines = text.splitlines()
    assert f"  {command}" in lines
    wrapped = lines[next(n for n, line in enumerate(lines) if "NO CATALOG" in line) :][:2]
    assert max(map(len, wrapped)) <= 100
    assert all(line.endswith(("words", "and")) for line in wrapped)


def test_a_process_has_an_age():
    first = age_of_process_s()
    assert 0 < first <= age_of_process_s()
