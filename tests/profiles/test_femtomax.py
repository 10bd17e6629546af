"""The real beamline's profile: its settings, and a prompt where nothing answers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from femto_bluesky.console.settings import FILE, read_beamline
from tests.devices.test_channel_access import free_port
from tests.profiles.prompt import HOUSE, prompt

PROFILES = HOUSE / "profiles"


@pytest.mark.parametrize("profile", ["simulated", "femtomax"])
def test_its_settings_are_right(profile: str) -> None:
    settings = read_beamline(PROFILES / profile / FILE)
    section = settings.simulation if profile == "simulated" else settings.epics
    assert section is not None
    assert {"pilatus", "andor3_zyla10", "andor3_balor1"} <= section.cameras.keys()


def test_the_profiles_differ_in_their_devices_and_settings_only() -> None:
    simulated = {path.name for path in (PROFILES / "simulated" / "startup").glob("*.py")}
    real = {path.name: path for path in (PROFILES / "femtomax" / "startup").glob("*.py")}
    assert real.keys() == simulated
    own = {name for name, path in real.items() if not path.is_symlink()}
    assert own == {"10-devices.py"}
    for path in real.values():
        assert path.exists(), f"{path} leads nowhere"


@pytest.mark.long
def test_what_does_not_answer_is_named_and_found_when_it_does(tmp_path: Path) -> None:
    settings = tmp_path / "beamline.yaml"
    found = {
        "beamline": "FemtoMAX",
        "directory": str(tmp_path / "data"),
        "catalog": f"lines:{tmp_path / 'lines'}",
        "rois": {"whole": {"x0": 0, "y0": 0, "x1": 9, "y1": 6}},
        "epics": {
            "cameras": {
                "andor3_zyla12": {"kind": "zyla", "prefix": "LOOP:"},
                "andor3_balor1": {"kind": "balor", "prefix": "NOBODY:BALOR1:"},
            },
            "motors": {"delay": "NOBODY:DELAY"},
            "signals": {"i0": "NOBODY:I0"},
            "connection_timeout_s": 1.0,
        },
    }
    settings.write_text(yaml.safe_dump(found))
    environment = os.environ | on_loopback(free_port())
    with waiting_ioc(environment) as ioc, prompt("femtomax", settings, **environment) as it:
        for name, variable in (
            ("andor3_zyla12", "LOOP:"), ("andor3_balor1", "NOBODY:BALOR1:"),
            ("delay", "NOBODY:DELAY"), ("i0", "NOBODY:I0"),
        ):  # fmt: skip
            assert f"NO ANSWER from {name}: nothing at {variable} within 1 s" in it.greeting
        assert "connect_devices() looks for them again" in it.greeting
        assert "Traceback" not in it.greeting
        told = it.say("RE(burst_scan([andor3_balor1], delay, -1, 3, num=3, frames=4))")
        assert "DeviceError: andor3_balor1 does not answer (nothing at NOBODY:BALOR1: with" in told
        assert "Traceback" not in told
        assert it.value("delay") == "<delay does not answer: nothing at NOBODY:DELAY within 1 s>"

        # an IOC is started, and its camera works without a new prompt
        assert ioc.stdin is not None
        ioc.stdin.write(b"begin\n")
        ioc.stdin.flush()
        assert "i0 does not answer" in it.value(
            "next(d for d in iter(connect_devices, 0) if 'andor3_zyla12' not in d.unreachable)"
        )
        it.say("RE(continuous([andor3_zyla12], 3, n_events=2))")
        assert it.value("catalog[-1].stop['num_events']") == "{'primary': 2}"
        assert "andor3_zyla12_whole" in it.say("show()")
        it.leave()


@contextmanager
def waiting_ioc(environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """An IOC that begins when it is told to."""
    script = HOUSE / "tests" / "devices" / "loopback_ioc.py"
    command = [sys.executable, str(script), "LOOP:", "6", "9"]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def on_loopback(port: int) -> dict[str, str]:
    """Channel Access that looks nowhere else."""
    return {
        "EPICS_CA_ADDR_LIST": "127.0.0.1",
        "EPICS_CA_AUTO_ADDR_LIST": "NO",
        "EPICS_CA_SERVER_PORT": str(port),
        "EPICS_CA_REPEATER_PORT": str(free_port()),
        "EPICS_CAS_BEACON_ADDR_LIST": "127.0.0.1",
        "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
        "OPHYD_CONTROL_LAYER": "pyepics",
        "PYTHONPATH": str(HOUSE),
    }
