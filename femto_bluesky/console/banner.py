"""What the prompt says when it is ready."""

from __future__ import annotations

import os
import textwrap
import time
from collections.abc import Collection, Sequence
from itertools import repeat
from pathlib import Path

from femto_bluesky import __version__
from femto_bluesky.console.devices import Devices
from femto_bluesky.console.opened_catalog import OpenedCatalog
from femto_bluesky.console.page import Page
from femto_bluesky.console.settings import BeamlineSettings
from femto_bluesky.model.detectors import settings_of

WIDTH = 100
"""Texts are wrapped at this many columns."""


def banner(
    settings: BeamlineSettings,
    devices: Devices,
    opened: OpenedCatalog,
    *,
    next_scan: int,
    plots: str,
    page: Page,
    log: str,
    started_s: float,
) -> str:
    """What there is, what does not work and why, and what to type."""
    rows = [
        ("cameras", ", ".join(devices.cameras)),
        ("motors", ", ".join(devices.motors)),
        ("others", ", ".join(devices.others)),
        ("catalog", f"{opened.catalog.where}; the next scan is {next_scan}"),
        ("files", str(settings.directory)),
        ("plots", plots),
        *zip(("page", *repeat("", len(page.lines) - 1)), page.lines, strict=True),
        ("log", log),
    ]
    lines = [f"{settings.beamline}, femto_bluesky {__version__}, started in {started_s:.1f} s", ""]
    lines += [f"  {what:8} {said}" for what, said in rows if said]
    for name, reason in devices.unreachable.items():
        lines.append(f"  NO ANSWER from {name}: {reason}")
    if devices.unreachable:
        lines.append("  The rest works. connect_devices() looks for them again.")
    if opened.problem:
        lines += _paragraph(f"NO CATALOG: {opened.problem}")
    # those that answer first
    typed = commands(
        sorted(devices.cameras, key=devices.unreachable.__contains__),
        sorted(devices.motors, key=devices.unreachable.__contains__),
        [name for name in devices.others if name not in devices.unreachable],
    )
    return "\n".join([*lines, "", *(f"  {line}" for line in typed), ""])


def commands(cameras: Sequence[str], motors: Sequence[str], others: Collection[str]) -> list[str]:
    """What to type, in this order or another: each line works as it stands.

    The first of the cameras is the one that is shown with; darks are those of one that has any.
    """
    camera = cameras[0]
    also = ", also=[beam]" if "beam" in others else ""
    shutter = ", shutter=shutter" if "shutter" in others else ""
    dark = next((name for name in cameras if settings_of(name).kind == "camera"), camera)
    pixel = "" if settings_of(camera).pixel_size_m else ", pixel_size_m=1e-5"
    axes = ", ".join(f"{motor}, 0, 1, 3" for motor in (motors[1:3] if motors[2:] else motors))
    scans = [
        f"RE(burst_scan([{camera}], {motors[0]}, -2, 6, num=9, frames=10{also}))",
        f"RE(burst_grid([{camera}], {axes}, frames=5))",
    ] if motors else []  # fmt: skip
    return [
        *scans,
        f"RE(collect_dark([{dark}], n=20{shutter})); use_darks()",
        f"RE(continuous([{camera}], 10, n_events=3))  # without n_events: until Ctrl-C",
        f'add_roi("my peak", x0=20, y0=30, x1=60, y1=90, detector={camera})',
        'move_roi("my peak", dx=5); delete_roi("my peak"); list_rois()',
        f"set_geometry({camera}, energy_kev=13.5, distance_m=0.131, x0_px=210, y0_px=373{pixel})",
        "list_sums()  # of all scans since the start, or since:",
        "reset_accumulation(); undo_reset(); stop_accumulation(); start_accumulation()",
        "show()  # the last scan: step means, sums with ROIs, curves; show(-2) the one before",
        "catalog[-1]  # the newest run; catalog[12] is that of scan 12",
        "again = LiveAnalysis(live.rois.settings.rois, photon_files=False)",
        "replay(catalog[-1], again); again.result().steps",
        "page  # where it is watched in a browser, and the settings are changed",
        "burst_scan?",
        "# Ctrl-C twice pauses; then RE.resume(), RE.stop() or RE.abort()",
    ]


def _paragraph(text: str) -> list[str]:
    """A text in lines that are not too long; commands in it stand whole, on lines of their own."""
    lines: list[str] = []
    for line in text.replace(": femto-bluesky ", ":\nfemto-bluesky ").splitlines():
        is_command = line.startswith("femto-bluesky ")
        lines += [f"  {line}"] if is_command else textwrap.wrap(
            line, WIDTH, initial_indent="  ", subsequent_indent="  ",
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
    return lines


def age_of_process_s() -> float:
    """How long ago this process began, in seconds: what the start of a prompt took so far.

    Source: proc(5), field 22 of /proc/self/stat, clock ticks after boot. Where that is not to be
    had (it is Linux's), the processor time.
    """
    try:
        stat = Path("/proc/self/stat").read_text(encoding="ascii", errors="replace")
        began = int(stat.rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - began
    except (OSError, ValueError, IndexError, AttributeError):
        return time.process_time()
