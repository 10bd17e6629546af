"""What the prompt says when it is ready."""

from __future__ import annotations

import os
import time
from pathlib import Path

from femto_bluesky import __version__
from femto_bluesky.console.devices import Devices
from femto_bluesky.console.opened_catalog import OpenedCatalog
from femto_bluesky.console.settings import BeamlineSettings

COMMANDS = """\
  RE(burst_scan([{camera}], {motor}, -2, 6, num=9, frames=10{also}))
  RE(burst_grid(...))  RE(continuous([{camera}], 10))  RE(collect_dark(...))  use_darks()
  add_roi("my peak", x0=500, y0=300, x1=535, y1=440)  move_roi  delete_roi  list_rois()
  set_geometry("pilatus", energy_kev=13.5, distance_m=0.131, x0_px=210, y0_px=373)
  start_accumulation()  stop_accumulation()  reset_accumulation()  undo_reset()  list_sums()
  show()               the last result: table, sums with ROIs, step means
  catalog[-1]          the newest run;  replay(catalog[-1], LiveAnalysis(...))
  Ctrl-C twice pauses: RE.resume()  RE.stop()  RE.abort().  burst_scan? explains a plan"""


def banner(
    settings: BeamlineSettings,
    devices: Devices,
    opened: OpenedCatalog,
    *,
    next_scan: int,
    plots: str,
    log: str,
    started_s: float,
) -> str:
    """What there is, what does not work and why, and what to type."""
    answering = [name for name in devices.cameras if name not in devices.unreachable]
    rows = [
        ("cameras", ", ".join(devices.cameras)),
        ("motors", ", ".join(devices.motors)),
        ("others", ", ".join(devices.others)),
        ("catalog", f"{opened.catalog.where}; the next scan is {next_scan}"),
        ("files", str(settings.directory)),
        ("plots", plots),
        ("log", log),
    ]
    lines = [f"{settings.beamline}, femto_bluesky {__version__}, started in {started_s:.1f} s", ""]
    lines += [f"  {what:8} {said}" for what, said in rows if said]
    for name, reason in devices.unreachable.items():
        lines.append(f"  NO ANSWER from {name}: {reason}")
    if devices.unreachable:
        lines.append("  The rest works. connect_devices() looks for them again.")
    if opened.problem:
        lines.append(f"  NO CATALOG: {opened.problem}")
    commands = COMMANDS.format(
        camera=(answering or devices.cameras)[0],
        motor=devices.motors[0] if devices.motors else "motor",
        also=", also=[beam]" if "beam" in devices.others else "",
    )
    return "\n".join([*lines, "", commands, ""])


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
